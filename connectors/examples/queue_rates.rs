//! Measures the rates of the local queue on a disk: `cargo run --release -p millstream-connectors --example queue_rates --
//! DIRECTORY [LANES]`. Measures no lanes, one and three, and the removal of a lane; or the given number of lanes. Prints a
//! plain table.
#![expect(clippy::print_stdout, reason = "it is a program that prints a table")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use millstream_connectors::queue::local::{LocalQueue, LocalQueueOptions};
use millstream_pipeline::queue::conformance::work;
use millstream_pipeline::queue::{Lanes, QueueError, Settled, Taken, Work, WorkQueue};
use millstream_pipeline::{ChangeKind, Position};

const BACKLOG: i64 = 100_000;
const BATCH: i64 = 1_000;
const ROUNDS: i64 = 200;
const REMOVED: i64 = 1_000_000;

type Ids = std::ops::RangeFrom<i64>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).ok_or("name a directory on the disk to measure")?;
    let path = directory.join(format!("queue-rates-{}", std::process::id()));
    let only = std::env::args().nth(2).map(|lanes| lanes.parse()).transpose()?;
    for lanes in only.map_or(vec![0, 1, 3], |lanes| vec![lanes]) {
        println!("== lanes: {lanes}");
        measure(&path, lanes).await?;
        std::fs::remove_dir_all(&path)?;
    }
    if only.is_some() {
        return Ok(());
    }
    println!("== removing a lane");
    measure_removal(&path).await?;
    std::fs::remove_dir_all(&path)?;
    Ok(())
}

async fn measure(path: &Path, lanes: usize) -> Result<(), Box<dyn Error>> {
    let queue = LocalQueue::open(path, LocalQueueOptions::default()).await?;
    let names: Vec<String> = (0..lanes).map(|number| format!("lane-{number}")).collect();
    let lanes: Vec<Arc<dyn WorkQueue>> = try_join_all(names.iter().map(|name| queue.add_lane(name))).await?;
    let mut ids = 1..;
    let started = Instant::now();
    for _ in 0..BACKLOG / BATCH {
        queue.put(batch(&mut ids, BATCH), Some(Position::ZERO)).await?;
    }
    report("put, batches of 1,000, fsync each", BACKLOG, started.elapsed());

    let mut slowest = [Duration::ZERO; 3];
    let started = Instant::now();
    for _ in 0..ROUNDS {
        let at = Instant::now();
        queue.put(batch(&mut ids, BATCH), None).await?;
        let put = Instant::now();
        let taken = queue.take(BATCH as usize).await?;
        let took = Instant::now();
        deliver(&queue, &taken).await?;
        for (slowest, spent) in slowest.iter_mut().zip([put - at, took - put, took.elapsed()]) {
            *slowest = spent.max(*slowest);
        }
    }
    report("put + take + deliver at that backlog", ROUNDS * BATCH, started.elapsed());
    println!("slowest put / take / deliver of 1,000: {slowest:?}");

    one_by_one(&queue, &mut ids).await?;
    let depth = queue.stats().await?.depth as i64;
    let started = Instant::now();
    drain(&queue).await?;
    report("take + deliver, draining", depth, started.elapsed());
    for (name, lane) in names.iter().zip(lanes) {
        let depth = lane.stats().await?.depth as i64;
        let started = Instant::now();
        drain(&*lane).await?;
        report(&format!("take + settle, draining {name}"), depth, started.elapsed());
    }
    println!("on disk: {} KiB", queue.stats().await?.disk_bytes / 1024);
    queue.close().await?;
    let started = Instant::now();
    let queue = LocalQueue::open(path, LocalQueueOptions::default()).await?;
    let opened = started.elapsed();
    let started = Instant::now();
    queue.take(1).await?;
    println!("open {opened:?}, first take after it {:?}", started.elapsed());
    queue.close().await?;
    Ok(())
}

async fn one_by_one(queue: &LocalQueue, ids: &mut Ids) -> Result<(), QueueError> {
    let started = Instant::now();
    for _ in 0..300 {
        queue.put(batch(ids, 1), None).await?;
    }
    report("put, one by one, fsync each", 300, started.elapsed());
    let started = Instant::now();
    for _ in 0..100 {
        try_join_all((0..64).map(|_| queue.put(batch(ids, 1), None)).collect::<Vec<_>>()).await?;
    }
    report("put, one by one, 64 at a time", 6_400, started.elapsed());
    Ok(())
}

/// Measures the latency of puts while a lane of a million entries is cleared.
async fn measure_removal(path: &Path) -> Result<(), QueueError> {
    let queue = LocalQueue::open(path, LocalQueueOptions::default()).await?;
    let lane = queue.add_lane("large").await?;
    let mut ids = 1..;
    let started = Instant::now();
    for _ in 0..REMOVED / 10_000 {
        lane.put(batch(&mut ids, 10_000), None).await?;
    }
    report("put into a lane, batches of 10,000", REMOVED, started.elapsed());
    for during in ["put, one by one, before", "put, one by one, while a lane is cleared"] {
        let mut slowest = Duration::ZERO;
        let started = Instant::now();
        for _ in 0..1_000 {
            let at = Instant::now();
            queue.put(batch(&mut ids, 1), None).await?;
            slowest = slowest.max(at.elapsed());
        }
        report(during, 1_000, started.elapsed());
        println!("slowest {slowest:?}");
        let started = Instant::now();
        if queue.remove_lane("large").await? {
            println!("remove_lane with {REMOVED} entries {:?}", started.elapsed());
        }
    }
    queue.close().await
}

fn batch(ids: &mut Ids, size: i64) -> Vec<Work> {
    ids.take(size as usize).map(|id| work(ChangeKind::Upsert, id, id, 1)).collect()
}

async fn deliver(queue: &dyn WorkQueue, taken: &[Taken]) -> Result<(), QueueError> {
    let delivered =
        |taken: &Taken| (taken.ticket, Settled::Deliver { version: taken.work.version, deleted: false, repair: false });
    queue.settle(taken.iter().map(delivered).collect()).await?;
    Ok(())
}

async fn drain(queue: &dyn WorkQueue) -> Result<(), QueueError> {
    loop {
        let taken = queue.take(BATCH as usize).await?;
        if taken.is_empty() {
            return Ok(());
        }
        deliver(queue, &taken).await?;
    }
}

fn report(what: &str, count: i64, elapsed: Duration) {
    println!("{what:40} {:>10.0} /s", count as f64 / elapsed.as_secs_f64());
}
