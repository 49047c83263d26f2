//! The budget for document bytes in memory, shared by the API, the projector and the delivery workers of a process.
//!
//! Every operation that holds bodies or rows of documents reserves their bytes before it reads them, and sizes what it
//! reads by the reservation. Order of acquisition: first memory, then a database connection; no operation asks for
//! memory while it holds a reservation or a connection. So reservations cannot deadlock.

use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes per semaphore permit.
const UNIT_BYTES: usize = 1 << 10;

/// Budget without configuration, in bytes.
const DEFAULT_BYTES: usize = 512 << 20;

/// One operation takes at most this part of a budget unless a single document needs more.
const PARTS: usize = 4;

/// A budget of bytes. Clones share it.
#[derive(Clone)]
pub struct MemoryBudget {
    total: Arc<Pool>,
    /// The part of the budget that this handle may use at most.
    share: Option<Arc<Pool>>,
}

struct Pool {
    free: Arc<Semaphore>,
    units: u32,
}

impl Pool {
    fn new(bytes: usize) -> Arc<Self> {
        let units = u32::try_from((bytes / UNIT_BYTES).max(1)).unwrap_or(u32::MAX);
        Arc::new(Self { free: Arc::new(Semaphore::new(units as usize)), units })
    }

    async fn acquire(&self, units: u32) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(&self.free).acquire_many_owned(units).await.ok()
    }
}

impl MemoryBudget {
    /// Creates a budget of so many bytes, rounded down to KiB.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self { total: Pool::new(bytes), share: None }
    }

    /// Returns a handle that can use at most half of the budget. Delivery workers take theirs from it, so that sinks
    /// that do not answer leave the other half to readers and to the cache (ISOLATED).
    #[must_use]
    pub fn half(&self) -> Self {
        let half = Pool::new(self.total.units as usize * UNIT_BYTES / 2);
        Self { total: Arc::clone(&self.total), share: Some(half) }
    }

    /// The most bytes that one reservation of this handle can have.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.share.as_ref().unwrap_or(&self.total).units as usize * UNIT_BYTES
    }

    /// Bytes reserved at this moment, by all handles of the budget.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        (self.total.units as usize).saturating_sub(self.total.free.available_permits()) * UNIT_BYTES
    }

    /// `wanted`, or a quarter of the capacity if that is less: the bytes that an operation on several documents reads
    /// at once.
    #[must_use]
    pub fn portion(&self, wanted: usize) -> usize {
        wanted.min(self.capacity() / PARTS)
    }

    /// Waits until so many bytes are free, first come, first served, and takes them. Cancellation safe.
    ///
    /// # Errors
    /// When the bytes exceed the capacity: they never become free.
    pub async fn reserve(&self, bytes: usize) -> Result<MemoryReservation, OverBudget> {
        let over = || OverBudget { bytes, capacity: self.capacity() };
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).map_err(|_| over())?;
        if units as usize * UNIT_BYTES > self.capacity() {
            return Err(over());
        }
        let share = match &self.share {
            Some(share) => Some(share.acquire(units).await.ok_or_else(over)?),
            None => None,
        };
        let total = self.total.acquire(units).await.ok_or_else(over)?;
        Ok(MemoryReservation { total, _share: share })
    }
}

impl Default for MemoryBudget {
    /// 512 MiB.
    fn default() -> Self {
        Self::new(DEFAULT_BYTES)
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget")
            .field("capacity", &self.capacity())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

/// Reserved bytes. Dropping it returns them.
#[derive(Debug)]
pub struct MemoryReservation {
    total: OwnedSemaphorePermit,
    _share: Option<OwnedSemaphorePermit>,
}

impl MemoryReservation {
    /// The reserved bytes, in whole KiB.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.total.num_permits() * UNIT_BYTES
    }

    /// Returns what exceeds so many bytes to the budget.
    pub fn shrink_to(&mut self, bytes: usize) {
        let keep = bytes.div_ceil(UNIT_BYTES);
        for permit in std::iter::once(&mut self.total).chain(self._share.as_mut()) {
            drop(permit.split(permit.num_permits().saturating_sub(keep)));
        }
    }
}

/// Returns bytes that keep their reservation until the last reference to them is dropped: those of an answer, until the
/// server has sent them.
#[must_use]
pub fn reserved_bytes(bytes: Vec<u8>, memory: Option<Arc<MemoryReservation>>) -> Bytes {
    match memory {
        Some(memory) => Bytes::from_owner(ReservedBytes { bytes, _memory: memory }),
        None => Bytes::from(bytes),
    }
}

struct ReservedBytes {
    bytes: Vec<u8>,
    _memory: Arc<MemoryReservation>,
}

impl AsRef<[u8]> for ReservedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// One document, or one operation, needs more memory than the budget has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it needs {bytes} bytes of memory, but memory.budget_mib allows {capacity}: raise memory.budget_mib")]
pub struct OverBudget {
    /// The bytes that are needed.
    pub bytes: usize,
    /// The bytes that one operation can have.
    pub capacity: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const MIB: usize = 1 << 20;

    #[tokio::test]
    async fn bytes_in_flight_never_exceed_the_budget() {
        let budget = MemoryBudget::new(4 * MIB);
        let first = budget.reserve(3 * MIB).await.expect("fits");
        let mut second = budget.reserve(MIB).await.expect("fits");
        assert_eq!(budget.in_flight(), 4 * MIB);
        let mut third = Box::pin(budget.reserve(2 * MIB));
        assert!((&mut third).now_or_never().is_none(), "nothing is free");
        second.shrink_to(1);
        assert!((&mut third).now_or_never().is_none(), "less than 2 MiB are free");
        drop(first);
        let third = third.now_or_never().expect("3 MiB are free").expect("fits");
        assert_eq!(budget.in_flight(), third.bytes() + second.bytes());
        drop((second, third));
        assert_eq!(budget.in_flight(), 0);
    }

    #[tokio::test]
    async fn what_never_fits_is_refused_at_once_and_names_the_setting() {
        let budget = MemoryBudget::new(MIB);
        let over = budget.reserve(2 * MIB).await.expect_err("too much");
        assert_eq!(over, OverBudget { bytes: 2 * MIB, capacity: MIB });
        assert!(over.to_string().contains("memory.budget_mib"), "{over}");
        assert_eq!(budget.portion(usize::MAX), MIB / 4);
    }

    #[tokio::test]
    async fn deliveries_leave_half_of_the_budget_to_others() {
        let budget = MemoryBudget::new(4 * MIB);
        let deliveries = budget.half();
        let held = deliveries.reserve(2 * MIB).await.expect("fits");
        assert!(deliveries.reserve(MIB).now_or_never().is_none(), "the half of the deliveries is used up");
        assert!(budget.reserve(2 * MIB).now_or_never().is_some_and(|reserved| reserved.is_ok()));
        drop(held);
        assert!(deliveries.reserve(2 * MIB).now_or_never().is_some_and(|reserved| reserved.is_ok()));
    }
}
