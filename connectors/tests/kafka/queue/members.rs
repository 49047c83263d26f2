//! Working members, and a record of their work that shows losses and overlaps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_connectors::queue::kafka::KafkaQueue;
use millstream_pipeline::ChangeKind;
use millstream_pipeline::clock::{Clock, SystemClock};
use millstream_pipeline::queue::conformance::work;
use millstream_pipeline::queue::{QueueError, Settled, WorkQueue};
use millstream_testkit::wait_until;
use parking_lot::{Mutex, MutexGuard};
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};

const BATCH: usize = 20;
/// Work takes a moment, so that partitions move while it is in flight.
const WORK_TIME: Duration = Duration::from_millis(2);

#[derive(Debug, Default)]
struct Totals {
    /// The newest version done, by document.
    done: BTreeMap<i64, i64>,
    in_work: BTreeSet<i64>,
    processed: u64,
    overlaps: u64,
}

/// The work of all members.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkLog(Arc<Mutex<Totals>>);

impl WorkLog {
    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.0.lock()
    }

    pub(crate) fn processed(&self) -> u64 {
        self.totals().processed
    }

    pub(crate) fn overlaps(&self) -> u64 {
        self.totals().overlaps
    }

    fn has_all(&self, documents: i64, version: i64) -> bool {
        let totals = self.totals();
        (1..=documents).all(|document_id| totals.done.get(&document_id).is_some_and(|done| *done >= version))
    }

    /// Waits until each document was done at this version.
    pub(crate) async fn all_done(&self, documents: i64, version: i64, within: Duration) {
        let what = format!("{documents} documents at version {version}");
        wait_until(&what, within, || std::future::ready(self.has_all(documents, version))).await;
    }
}

/// Puts every document again, as a relay does, which is not a member.
pub(crate) async fn put_all(relay: &KafkaQueue, documents: i64, version: i64) {
    let now_ms = SystemClock.now_ms();
    let ids: Vec<i64> = (1..=documents).collect();
    for ids in ids.chunks(250) {
        let batch = ids.iter().map(|id| work(ChangeKind::Upsert, *id, version, now_ms)).collect();
        relay.put(batch, None).await.expect("put");
    }
}

/// Starts a member that works until its queue is closed.
pub(crate) fn start_member(queue: KafkaQueue, log: WorkLog) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            match work_once(&queue, &log).await {
                Ok(()) => {}
                Err(QueueError::Closed) => return,
                Err(error) => panic!("{error}"),
            }
        }
    })
}

async fn work_once(queue: &KafkaQueue, log: &WorkLog) -> Result<(), QueueError> {
    queue.ready().await?;
    let taken = queue.take(BATCH).await?;
    {
        let mut totals = log.totals();
        for taken in &taken {
            if !totals.in_work.insert(taken.work.document_id) {
                totals.overlaps += 1;
            }
        }
    }
    sleep(WORK_TIME).await;
    {
        let mut totals = log.totals();
        for taken in &taken {
            let done = totals.done.entry(taken.work.document_id).or_default();
            *done = taken.work.version.max(*done);
            totals.in_work.remove(&taken.work.document_id);
            totals.processed += 1;
        }
    }
    let settled = taken.iter().map(|taken| (taken.ticket, Settled::Done)).collect();
    queue.settle(settled).await.map(|_| ())
}
