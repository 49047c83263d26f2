//! The suite that every [`WorkQueue`] has to pass, and every lane of one. A test calls [`run`] with a [`Fixture`] of its
//! implementation; what lanes promise beside that is in [`lanes`].

mod cases;
pub mod lanes;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use uuid::Uuid;

use super::{MemoryQueue, QueueStats, SettleReport, Settled, Taken, Work, WorkQueue};
use crate::clock::{Clock, ManualClock};
use crate::{Change, ChangeKind};

/// How often a document may fail in the suite before it goes into quarantine.
pub const ATTEMPTS_MAX: u32 = 3;

/// How long anything in here may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// Makes one queue, and opens it again after everybody has let go of it.
pub trait Fixture {
    /// Opens the queue, which lets a document fail [`ATTEMPTS_MAX`] times and reads the time from `clock`. The second
    /// time it is the same queue, as after a restart.
    fn open(&mut self, clock: ManualClock) -> BoxFuture<'_, Arc<dyn WorkQueue>>;

    /// Whether all that was settled is known after a restart. A queue that keeps only how far everything is finished does
    /// again what was finished beyond that, which is harmless and not asserted otherwise.
    fn remembers_what_is_settled(&self) -> bool {
        true
    }
}

/// A queue under test.
struct Bench<'a> {
    fixture: &'a mut dyn Fixture,
    clock: ManualClock,
    queue: Arc<dyn WorkQueue>,
}

/// Runs the whole suite, each case on a new queue from `fixture`.
///
/// # Panics
/// When the queue breaks a promise; the message says which.
pub async fn run<F: Fixture>(mut fixture: impl FnMut() -> F) {
    macro_rules! cases {
        ($($case:ident),* $(,)?) => {$({
            let mut fixture = fixture();
            let clock = ManualClock::at(1_000_000);
            let queue = fixture.open(clock.clone()).await;
            let bench = Bench { fixture: &mut fixture, clock, queue };
            let done = tokio::time::timeout(DEADLINE, cases::$case(bench)).await;
            assert!(done.is_ok(), concat!(stringify!($case), " did not end"));
        })*};
    }
    cases!(
        changes_of_one_document_are_one_entry,
        the_oldest_goes_first_and_touches_get_their_share,
        an_edit_raises_a_touch,
        what_is_in_flight_is_not_taken_twice,
        what_was_added_to_survives_its_acknowledgement,
        what_is_done_does_not_age_what_was_added,
        an_older_redelivery_does_not_hold_up_an_acknowledgement,
        a_retry_waits_and_counts_no_attempt,
        what_remains_is_taken_again,
        poison_goes_to_quarantine_and_holds_up_nothing,
        a_newer_version_leaves_quarantine_by_itself,
        an_operator_releases_and_discards,
        positions_never_go_back_by_themselves,
        a_restart_keeps_what_was_put_and_settled,
        waiting_ends_when_work_arrives_or_falls_due,
        many_takers_share_the_work_without_overlap,
    );
}

/// A change of one kind, as work.
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

impl Bench<'_> {
    async fn put(&self, kind: ChangeKind, document_id: i64, version: i64) {
        let work = work(kind, document_id, version, self.clock.now_ms());
        self.queue.put(vec![work], None).await.expect("put");
    }

    async fn take(&self, max: usize) -> Vec<Taken> {
        self.queue.take(max).await.expect("take")
    }

    async fn take_ids(&self, max: usize) -> Vec<i64> {
        self.take(max).await.iter().map(|taken| taken.work.document_id).collect()
    }

    async fn take_one(&self) -> Taken {
        let mut taken = self.take(1).await;
        assert_eq!(taken.len(), 1, "there should be something to take");
        taken.remove(0)
    }

    async fn settle(&self, taken: &Taken, settled: Settled) -> SettleReport {
        self.queue.settle(vec![(taken.ticket, settled)]).await.expect("settle")
    }

    async fn stats(&self) -> QueueStats {
        QueueStats { disk_bytes: 0, ..self.queue.stats().await.expect("stats") }
    }

    async fn reopen(&mut self) {
        self.queue = Arc::new(MemoryQueue::new(Arc::new(self.clock.clone()), 1));
        self.queue = self.fixture.open(self.clock.clone()).await;
    }
}

const REMOVED: SettleReport = SettleReport { removed: 1, kept: 0, quarantined: 0, unknown: 0 };
const KEPT: SettleReport = SettleReport { removed: 0, kept: 1, quarantined: 0, unknown: 0 };
const QUARANTINED: SettleReport = SettleReport { removed: 0, kept: 0, quarantined: 1, unknown: 0 };
