//! The parts that a batch is rebuilt in, each within a number of bytes.

use millstream_pipeline::memory::{MemoryBudget, MemoryReservation, OverBudget};
use millstream_pipeline::queue::Taken;
use std::collections::HashMap;

/// Most bytes of rows that one part composes bodies from, unless a single document has more.
const ROW_BYTES: usize = 16 << 20;

/// A part takes its rows and the bodies composed from them, which the rows are freed for type by type; then the bodies
/// and the parameters of the statement that stores them.
const COPIES: usize = 2;

/// Entries that are rebuilt together.
#[derive(Debug)]
pub(super) struct RebuildPart {
    pub(super) entries: Vec<Taken>,
    /// Most bytes of rows.
    pub(super) bytes_max: usize,
}

impl RebuildPart {
    /// A whole batch, of unknown size.
    pub(super) fn of_batch(entries: Vec<Taken>, memory: &MemoryBudget) -> Self {
        Self { entries, bytes_max: memory.portion(ROW_BYTES) }
    }

    /// Waits for the memory that the part takes.
    ///
    /// # Errors
    /// When its single document needs more than there is.
    pub(super) async fn reserve(&self, memory: &MemoryBudget) -> Result<MemoryReservation, OverBudget> {
        memory.reserve(self.bytes_max.saturating_mul(COPIES)).await
    }

    /// Halves the part.
    pub(super) fn halves(mut self) -> [Self; 2] {
        let second = self.entries.split_off(self.entries.len() / 2);
        [Self { entries: second, bytes_max: self.bytes_max }, self]
    }

    /// Takes out the entries of documents that were not loaded, given their sizes, in parts that fit.
    pub(super) fn split_off(&mut self, sizes: &HashMap<i64, usize>, memory: &MemoryBudget) -> Vec<Self> {
        let usual = memory.portion(ROW_BYTES);
        let size = |taken: &Taken| sizes.get(&taken.work.document_id).copied();
        let (deferred, kept): (Vec<Taken>, Vec<Taken>) =
            std::mem::take(&mut self.entries).into_iter().partition(|taken| size(taken).is_some());
        self.entries = kept;
        let mut parts: Vec<Self> = Vec::new();
        let mut bytes = 0_usize;
        for taken in deferred {
            let size = size(&taken).unwrap_or_default();
            bytes = bytes.saturating_add(size);
            match parts.last_mut() {
                Some(part) if bytes <= usual => part.entries.push(taken),
                _ => {
                    bytes = size;
                    parts.push(Self { entries: vec![taken], bytes_max: size.max(usual) });
                }
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_pipeline::queue::{Ticket, Work};
    use uuid::Uuid;

    fn taken(id: i64) -> Taken {
        let work = Work::of_row(id, Uuid::from_u128(id as u128), 1, 5, false, 0);
        Taken { ticket: Ticket::new(id, 1), work }
    }

    #[test]
    fn documents_that_did_not_fit_are_divided_by_their_sizes_and_a_large_one_is_alone() {
        let memory = MemoryBudget::new(400 << 10);
        let mut part = RebuildPart::of_batch((1..=6).map(taken).collect(), &memory);
        assert_eq!(part.bytes_max, 100 << 10);
        let kib = |id, kib: usize| (id, kib << 10);
        let sizes = HashMap::from([kib(2, 60), kib(3, 40), kib(4, 150), kib(5, 10), kib(6, 20)]);
        let parts = part.split_off(&sizes, &memory);
        let ids = |part: &RebuildPart| part.entries.iter().map(|taken| taken.work.document_id).collect::<Vec<_>>();
        assert_eq!(ids(&part), [1]);
        assert_eq!(parts.iter().map(ids).collect::<Vec<_>>(), [vec![2, 3], vec![4], vec![5, 6]]);
        assert_eq!(parts[1].bytes_max, 150 << 10);
    }
}
