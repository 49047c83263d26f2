//! A queue whose process is killed with SIGKILL keeps every batch that it accepted, and of the others whole batches only.
//!
//! The test runs itself as the process to be killed: it puts batches as fast as it can, takes and settles some of them,
//! and prints which batches were accepted.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use millstream_connectors::queue::local::{LocalQueue, LocalQueueOptions};
use millstream_pipeline::queue::conformance::work;
use millstream_pipeline::queue::{Settled, WorkQueue};
use millstream_pipeline::{ChangeKind, Position};

/// The test below.
const THIS: &str = "kill::accepted_batches_survive_a_kill_whole";
const VICTIM: &str = "MILLSTREAM_TEST_QUEUE_TO_KILL";
const BATCH: i64 = 20;
const KILLS: u32 = 8;
const KILLS_MIN: u32 = 3;

/// Documents of even batches may have been settled; those of odd ones never are.
const fn is_settled(batch: i64) -> bool {
    batch % 2 == 0
}

#[test]
fn accepted_batches_survive_a_kill_whole() {
    if let Some(path) = std::env::var_os(VICTIM) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(be_the_victim(Path::new(&path)));
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let deadline = Instant::now() + Duration::from_secs(40);
    let (mut kills, mut accepted) = (0, 0);
    while kills < KILLS && Instant::now() < deadline {
        accepted = crate::victim::kill(THIS, VICTIM, folder.path(), accepted, 30 + 37 * kills as usize);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        accepted = runtime.block_on(check(folder.path(), accepted));
        kills += 1;
    }
    assert!(kills >= KILLS_MIN, "only {kills} kills fitted into the time");
}

/// Compares the queue with the batches that were accepted. Returns the last batch in it.
async fn check(path: &Path, accepted: i64) -> i64 {
    let opening = Instant::now();
    let queue = LocalQueue::open(path, LocalQueueOptions::default()).await.expect("the queue opens after a kill");
    assert!(opening.elapsed() < Duration::from_secs(10), "opening took {:?}", opening.elapsed());
    let stored = queue.position().await.expect("position").map_or(0, |position| position.lsn as i64);
    assert!(stored >= accepted, "batch {accepted} was accepted, the stored position is {stored}");
    let mut found: HashMap<i64, i64> = HashMap::new();
    let depth = queue.stats().await.expect("stats").depth;
    let mut taken = 0;
    loop {
        let entries = queue.take(1_000).await.expect("take");
        if entries.is_empty() {
            break;
        }
        taken += entries.len() as u64;
        for entry in entries {
            *found.entry(entry.work.document_id / BATCH).or_default() += 1;
        }
    }
    assert_eq!(taken, depth, "the count of entries is not the number of entries");
    assert!(found.keys().all(|batch| *batch <= stored), "work of a batch is there without its position");
    for batch in 1..=stored {
        let count = found.get(&batch).copied().unwrap_or(0);
        assert!(is_settled(batch) || count == BATCH, "batch {batch} has {count} of {BATCH} entries");
    }
    queue.close().await.expect("close");
    stored
}

async fn be_the_victim(path: &Path) {
    let queue = LocalQueue::open(path, LocalQueueOptions::default()).await.expect("the queue opens");
    let last = queue.position().await.expect("position").map_or(0, |position| position.lsn as i64);
    let put = async {
        for batch in last + 1.. {
            let documents = batch * BATCH..(batch + 1) * BATCH;
            let work = documents.map(|id| work(ChangeKind::Upsert, id, 1, 1)).collect();
            queue.put(work, Some(Position::before(batch as u64))).await.expect("put");
            let mut out = std::io::stdout().lock();
            writeln!(out, "accepted {batch}").and_then(|()| out.flush()).expect("somebody listens");
        }
    };
    let settle = async {
        loop {
            queue.ready().await.expect("ready");
            let taken = queue.take(50).await.expect("take");
            let done = taken.iter().filter(|taken| is_settled(taken.work.document_id / BATCH));
            queue.settle(done.map(|taken| (taken.ticket, Settled::Done)).collect()).await.expect("settle");
        }
    };
    tokio::join!(put, settle);
}
