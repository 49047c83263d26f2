//! Members that work, and an account of what they did: nothing lost, and nothing done by two at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use millstream_connectors::queue::kafka::KafkaQueue;
use millstream_pipeline::ChangeKind;
use millstream_pipeline::clock::{Clock, SystemClock};
use millstream_pipeline::queue::conformance::work;
use millstream_pipeline::queue::{QueueError, Settled, WorkQueue};
use millstream_testkit::wait_until;
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};

const BATCH: usize = 20;
/// Some work takes a moment, so that partitions move while it is in flight.
const WORK_TIME: Duration = Duration::from_millis(2);

#[derive(Debug, Default)]
struct Book {
    /// The newest version done, by document.
    done: BTreeMap<i64, i64>,
    in_hand: BTreeSet<i64>,
    deeds: u64,
    overlaps: u64,
}

/// What all members did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account(Arc<Mutex<Book>>);

impl Account {
    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn deeds(&self) -> u64 {
        self.book().deeds
    }

    pub(crate) fn overlaps(&self) -> u64 {
        self.book().overlaps
    }

    fn has_all(&self, documents: i64, version: i64) -> bool {
        let book = self.book();
        (1..=documents).all(|document_id| book.done.get(&document_id).is_some_and(|done| *done >= version))
    }

    /// Waits until each document was done at this version.
    pub(crate) async fn all_done(&self, documents: i64, version: i64, within: Duration) {
        let what = format!("{documents} documents at version {version}");
        wait_until(&what, within, || std::future::ready(self.has_all(documents, version))).await;
    }
}

/// Puts every document once more, as a relay does: it takes no part.
pub(crate) async fn put_all(relay: &KafkaQueue, documents: i64, version: i64) {
    let now_ms = SystemClock.now_ms();
    let ids: Vec<i64> = (1..=documents).collect();
    for ids in ids.chunks(250) {
        let batch = ids.iter().map(|id| work(ChangeKind::Upsert, *id, version, now_ms)).collect();
        relay.put(batch, None).await.expect("put");
    }
}

/// A member that works until its queue is closed.
pub(crate) fn hire(queue: KafkaQueue, account: Account) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            match shift(&queue, &account).await {
                Ok(()) => {}
                Err(QueueError::Closed) => return,
                Err(error) => panic!("{error}"),
            }
        }
    })
}

async fn shift(queue: &KafkaQueue, account: &Account) -> Result<(), QueueError> {
    queue.ready().await?;
    let taken = queue.take(BATCH).await?;
    {
        let mut book = account.book();
        for taken in &taken {
            if !book.in_hand.insert(taken.work.document_id) {
                book.overlaps += 1;
            }
        }
    }
    sleep(WORK_TIME).await;
    {
        let mut book = account.book();
        for taken in &taken {
            let done = book.done.entry(taken.work.document_id).or_default();
            *done = taken.work.version.max(*done);
            book.in_hand.remove(&taken.work.document_id);
            book.deeds += 1;
        }
    }
    let settled = taken.iter().map(|taken| (taken.ticket, Settled::Done)).collect();
    queue.settle(settled).await.map(|_| ())
}
