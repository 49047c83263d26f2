//! Rebuilds of single documents that the server cancelled.
//!
//! One cancellation proves nothing: the server was overloaded, or an operator cancelled the statement. A document whose
//! rebuild is cancelled again, although another batch succeeded in between, is the cause itself.

use std::collections::HashMap;

/// Documents that are remembered at most. Beyond it the memory starts over, which delays an attribution.
const REMEMBERED_MAX: usize = 10_000;

/// Cancelled rebuilds of single documents, and the batches that succeeded.
#[derive(Debug, Default)]
pub(crate) struct CancelledRebuilds {
    /// Batches that succeeded so far.
    succeeded: u64,
    /// The number of successes at the first cancellation of each document.
    first: HashMap<i64, u64>,
}

impl CancelledRebuilds {
    /// Records a batch that succeeded, with these documents.
    pub(crate) fn succeeded(&mut self, document_ids: impl Iterator<Item = i64>) {
        self.succeeded += 1;
        if !self.first.is_empty() {
            for id in document_ids {
                self.first.remove(&id);
            }
        }
    }

    /// Records that the rebuild of a document alone was cancelled; returns whether the document is the cause.
    pub(crate) fn cancelled(&mut self, document_id: i64) -> bool {
        if self.first.len() >= REMEMBERED_MAX {
            self.first.clear();
        }
        *self.first.entry(document_id).or_insert(self.succeeded) < self.succeeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_the_cause_if_others_succeed_between_two_cancellations() {
        let mut cancelled = CancelledRebuilds::default();
        assert!(!cancelled.cancelled(1));
        assert!(!cancelled.cancelled(1), "nothing else succeeded either");
        assert!(!cancelled.cancelled(2));
        cancelled.succeeded([2, 3].into_iter());
        assert!(cancelled.cancelled(1));
        assert!(!cancelled.cancelled(2), "its own success starts over");
    }
}
