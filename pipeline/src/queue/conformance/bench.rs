//! The queue under test with helpers for its cases.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use uuid::Uuid;

use crate::change::{Change, ChangeKind};
use crate::clock::{Clock, ManualClock};
use crate::queue::contract::WorkQueue;
use crate::queue::memory::MemoryQueue;
use crate::queue::settle::{SettleReport, Settled, Taken};
use crate::queue::stats::QueueStats;
use crate::queue::work::Work;

/// Failures of a document after which the suite's queues quarantine it.
pub const ATTEMPTS_MAX: u32 = 3;

/// Time limit of one case.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// Creates one queue, and opens it again after all its handles were dropped.
pub trait QueueFixture {
    /// Opens the queue with [`ATTEMPTS_MAX`] allowed failures and the time from `clock`. A second call opens the same
    /// queue, as after a restart.
    fn open(&mut self, clock: ManualClock) -> BoxFuture<'_, Arc<dyn WorkQueue>>;

    /// Returns whether a restart keeps every settlement. A queue that stores only the offset up to which everything is
    /// settled repeats later settled work, which is harmless; the suite accepts it.
    fn remembers_what_is_settled(&self) -> bool {
        true
    }
}

/// A queue under test.
pub(super) struct QueueBench<'a> {
    pub(super) fixture: &'a mut dyn QueueFixture,
    pub(super) clock: ManualClock,
    pub(super) queue: Arc<dyn WorkQueue>,
}

/// Returns the work of a change of one kind.
#[must_use]
pub fn work(kind: ChangeKind, document_id: i64, version: i64, now_ms: u64) -> Work {
    let change = Change {
        outbox_id: version,
        xid: 10_000 + version as u64,
        document_id,
        document_uuid: Uuid::from_u128(document_id as u128),
        resource_key: 7,
        kind,
        content_version: version,
    };
    Work::of(&change, now_ms)
}

impl QueueBench<'_> {
    pub(super) async fn put(&self, kind: ChangeKind, document_id: i64, version: i64) {
        let work = work(kind, document_id, version, self.clock.now_ms());
        self.queue.put(vec![work], None).await.expect("put");
    }

    pub(super) async fn take(&self, max: usize) -> Vec<Taken> {
        self.queue.take(max).await.expect("take")
    }

    pub(super) async fn take_ids(&self, max: usize) -> Vec<i64> {
        self.take(max).await.iter().map(|taken| taken.work.document_id).collect()
    }

    pub(super) async fn take_one(&self) -> Taken {
        let mut taken = self.take(1).await;
        assert_eq!(taken.len(), 1, "there should be something to take");
        taken.remove(0)
    }

    pub(super) async fn settle(&self, taken: &Taken, settled: Settled) -> SettleReport {
        self.queue.settle(vec![(taken.ticket, settled)]).await.expect("settle")
    }

    pub(super) async fn stats(&self) -> QueueStats {
        QueueStats { disk_bytes: 0, ..self.queue.stats().await.expect("stats") }
    }

    pub(super) async fn reopen(&mut self) {
        self.queue = Arc::new(MemoryQueue::new(Arc::new(self.clock.clone()), 1));
        self.queue = self.fixture.open(self.clock.clone()).await;
    }
}

pub(super) const REMOVED: SettleReport = SettleReport { removed: 1, kept: 0, quarantined: 0, unknown: 0 };
pub(super) const KEPT: SettleReport = SettleReport { removed: 0, kept: 1, quarantined: 0, unknown: 0 };
pub(super) const QUARANTINED: SettleReport = SettleReport { removed: 0, kept: 0, quarantined: 1, unknown: 0 };
