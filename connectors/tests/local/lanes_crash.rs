//! A delivery reaches all lanes or none, wherever a crash falls: when the process is killed with SIGKILL, and when a power
//! cut loses the end of the journal, which was not flushed.
//!
//! For the first the test runs itself as the process to be killed, which prints the batches that it accepted.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use millstream_connectors::queue::local::{LocalQueue, LocalQueueOptions};
use millstream_pipeline::queue::conformance::work;
use millstream_pipeline::queue::{Lanes, Settled, Taken, Ticket, WorkQueue};
use millstream_pipeline::{ChangeKind, Position};

/// The test below.
const THIS: &str = "lanes_crash::a_kill_never_splits_a_delivery";
const VICTIM: &str = "MILLSTREAM_TEST_QUEUE_WITH_LANES_TO_KILL";
const LANES: [&str; 2] = ["kafka", "search"];
const BATCH: i64 = 20;
const KILLS: u32 = 6;
const KILLS_MIN: u32 = 3;

#[test]
fn a_kill_never_splits_a_delivery() {
    if let Some(path) = std::env::var_os(VICTIM) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(be_the_victim(Path::new(&path)));
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let deadline = Instant::now() + Duration::from_secs(40);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (mut kills, mut accepted, mut delivered, mut split) = (0, 0, 0, 0);
    while kills < KILLS && Instant::now() < deadline {
        accepted = crate::victim::kill(THIS, VICTIM, folder.path(), accepted, 20 + 23 * kills as usize);
        let found = runtime.block_on(look(folder.path()));
        assert!(found.position >= accepted, "batch {accepted} was accepted, the position is {}", found.position);
        found.check();
        assert!(found.delivered.len() > delivered, "nothing was delivered while this victim lived");
        delivered = found.delivered.len();
        split += u32::from(!found.in_cache_queue.is_empty());
        accepted = found.position;
        kills += 1;
    }
    assert!(kills >= KILLS_MIN, "only {kills} kills fitted into the time");
    assert!(split > 0, "no kill found anything in the cache queue, so none fell between a put and its delivery");
}

/// The documents, by place.
struct Contents {
    /// The batch that was put last.
    position: i64,
    in_cache_queue: HashSet<i64>,
    /// In the first lane, and, as was checked, in all others.
    delivered: HashSet<i64>,
}

impl Contents {
    /// Checks that each document of each batch is in exactly one place: the cache queue, or all lanes.
    fn check(&self) {
        let both: Vec<_> = self.in_cache_queue.intersection(&self.delivered).collect();
        assert!(both.is_empty(), "delivered and still there: {both:?}");
        let all = self.in_cache_queue.len() + self.delivered.len();
        assert_eq!(all as i64, self.position * BATCH, "documents of {} batches", self.position);
        let documents = BATCH..(self.position + 1) * BATCH;
        let lost: Vec<_> =
            documents.filter(|id| !self.in_cache_queue.contains(id) && !self.delivered.contains(id)).collect();
        assert!(lost.is_empty(), "neither delivered nor there: {lost:?}");
    }
}

async fn look(path: &Path) -> Contents {
    let queue = LocalQueue::open(path, LocalQueueOptions::default()).await.expect("the queue opens again");
    let position = queue.position().await.expect("position").map_or(0, |position| position.lsn as i64);
    let in_cache_queue = documents(&queue).await;
    let mut lanes = Vec::new();
    for name in LANES {
        let lane = queue.lane(name).await.expect("asked").expect("the lane is there");
        lanes.push(documents(&*lane).await);
    }
    let delivered = lanes.pop().expect("a lane");
    for other in lanes {
        let split: Vec<_> = other.symmetric_difference(&delivered).collect();
        assert!(split.is_empty(), "in one lane and not in the other: {split:?}");
    }
    queue.close().await.expect("close");
    Contents { position, in_cache_queue, delivered }
}

/// Takes all documents, and checks their number.
async fn documents(queue: &dyn WorkQueue) -> HashSet<i64> {
    let depth = queue.stats().await.expect("stats").depth;
    let taken = queue.take(1_000_000).await.expect("take");
    assert_eq!(taken.len() as u64, depth, "the count of entries is not the number of entries");
    taken.into_iter().map(|taken| taken.work.document_id).collect()
}

async fn put(queue: &LocalQueue, batch: i64) {
    let work = (batch * BATCH..(batch + 1) * BATCH).map(|id| work(ChangeKind::Upsert, id, 1, 1)).collect();
    queue.put(work, Some(Position::before(batch as u64))).await.expect("put");
}

fn delivered(taken: &[Taken]) -> Vec<(Ticket, Settled)> {
    taken.iter().map(|taken| (taken.ticket, Settled::Deliver { version: 1, deleted: false, repair: false })).collect()
}

async fn be_the_victim(path: &Path) {
    let queue = LocalQueue::open(path, LocalQueueOptions::default()).await.expect("the queue opens");
    for name in LANES {
        queue.add_lane(name).await.expect("a lane");
    }
    let last = queue.position().await.expect("position").map_or(0, |position| position.lsn as i64);
    let put = async {
        for batch in last + 1.. {
            put(&queue, batch).await;
            let mut out = std::io::stdout().lock();
            writeln!(out, "accepted {batch}").and_then(|()| out.flush()).expect("somebody listens");
        }
    };
    let settle = async {
        loop {
            queue.ready().await.expect("ready");
            // One by one, for as many deliveries as possible.
            for taken in queue.take(50).await.expect("take") {
                queue.settle(delivered(&[taken])).await.expect("settle");
            }
        }
    };
    tokio::join!(put, settle);
}

#[test]
fn a_power_cut_loses_both_halves_of_a_delivery_or_none() {
    const CUTS: usize = 40;
    const CUTS_MIN: usize = 15;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let journal = folder.path().join("store").join("0.jnl");
    let from_bytes = runtime.block_on(fill(folder.path(), &journal));
    let bytes = written(&journal);
    let deadline = Instant::now() + Duration::from_secs(30);
    let (mut cuts, mut ends) = (0, HashSet::new());
    while cuts < CUTS && Instant::now() < deadline {
        // By the golden ratio: even steps would fall on the same few places of the batches, which are alike.
        let kept_bytes = from_bytes + (bytes.len() - from_bytes) * (cuts * 61_803 % 100_000) / 100_000;
        let copy = tempfile::tempdir().expect("a folder");
        copy_folder(folder.path(), copy.path(), &journal);
        fs::write(copy.path().join("store").join("0.jnl"), &bytes[..kept_bytes]).expect("written");
        let found = runtime.block_on(look(copy.path()));
        found.check();
        ends.insert((found.position, found.delivered.len()));
        cuts += 1;
    }
    assert!(cuts >= CUTS_MIN, "only {cuts} cuts fitted into the time");
    assert!(ends.len() > cuts / 2, "{cuts} cuts left only {} different ends", ends.len());
}

/// Puts and delivers. Returns the length of the journal before.
async fn fill(path: &Path, journal: &Path) -> usize {
    let queue = LocalQueue::open(path, LocalQueueOptions::default()).await.expect("the queue opens");
    for name in LANES {
        queue.add_lane(name).await.expect("a lane");
    }
    let from_bytes = written(journal).len();
    for batch in 1..=30 {
        put(&queue, batch).await;
        let taken = queue.take(BATCH as usize).await.expect("take");
        for taken in taken.chunks(3).take(6) {
            queue.settle(delivered(taken)).await.expect("settle");
        }
    }
    queue.close().await.expect("close");
    from_bytes
}

/// Returns the written part of the journal, which is allocated with zeros.
fn written(journal: &Path) -> Vec<u8> {
    let mut bytes = fs::read(journal).expect("the journal");
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(end);
    bytes
}

fn copy_folder(from: &Path, to: &Path, except: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).expect("an entry");
        if path.is_dir() {
            fs::create_dir(to.join(&name)).expect("a folder");
            copy_folder(&path, &to.join(&name), except);
        } else if path != except {
            let mut copy = File::create(to.join(&name)).expect("a file");
            copy.write_all(&fs::read(&path).expect("a file")).expect("copied");
        }
    }
}
