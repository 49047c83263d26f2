//! How fast the local queue is on this disk: `cargo run --release -p millstream-outbox --features conformance --example
//! queue_rates -- DIRECTORY`. Prints a plain table and ends by itself.
#![expect(clippy::print_stdout, reason = "it is a program that prints a table")]

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use millstream_outbox::queue::conformance::work;
use millstream_outbox::queue::{LocalQueue, LocalQueueOptions, Settled, WorkQueue};
use millstream_outbox::{ChangeKind, Position};

const BACKLOG: i64 = 100_000;
const BATCH: i64 = 1_000;
const ROUNDS: i64 = 200;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).ok_or("name a directory on the disk to measure")?;
    let path = directory.join(format!("queue-rates-{}", std::process::id()));
    let queue = LocalQueue::open(&path, LocalQueueOptions::default()).await?;

    let mut ids = 1..;
    let mut batch =
        |size: i64| ids.by_ref().take(size as usize).map(|id| work(ChangeKind::Upsert, id, id, 1)).collect();
    let started = Instant::now();
    for _ in 0..BACKLOG / BATCH {
        queue.put(batch(BATCH), Some(Position::ZERO)).await?;
    }
    report("put, batches of 1,000, fsync each", BACKLOG, started.elapsed());

    let mut slowest = [Duration::ZERO; 3];
    let started = Instant::now();
    for _ in 0..ROUNDS {
        let at = Instant::now();
        queue.put(batch(BATCH), None).await?;
        let put = Instant::now();
        let taken = queue.take(BATCH as usize).await?;
        let took = Instant::now();
        queue.settle(taken.iter().map(|taken| (taken.ticket, Settled::Done)).collect()).await?;
        for (slowest, spent) in slowest.iter_mut().zip([put - at, took - put, took.elapsed()]) {
            *slowest = spent.max(*slowest);
        }
    }
    report("put + take + settle at that backlog", ROUNDS * BATCH, started.elapsed());
    println!("slowest put / take / settle of 1,000: {slowest:?}");

    let started = Instant::now();
    for _ in 0..300 {
        queue.put(batch(1), None).await?;
    }
    report("put, one by one, fsync each", 300, started.elapsed());
    let started = Instant::now();
    for _ in 0..100 {
        try_join_all((0..64).map(|_| queue.put(batch(1), None)).collect::<Vec<_>>()).await?;
    }
    report("put, one by one, 64 at a time", 6_400, started.elapsed());

    let depth = queue.stats().await?.depth as i64;
    let started = Instant::now();
    loop {
        let taken = queue.take(BATCH as usize).await?;
        if taken.is_empty() {
            break;
        }
        queue.settle(taken.iter().map(|taken| (taken.ticket, Settled::Done)).collect()).await?;
    }
    report("take + settle, draining", depth, started.elapsed());
    println!("on disk: {} KiB", queue.stats().await?.disk_bytes / 1024);
    queue.close().await?;
    let started = Instant::now();
    let queue = LocalQueue::open(&path, LocalQueueOptions::default()).await?;
    let opened = started.elapsed();
    let started = Instant::now();
    queue.take(1).await?;
    println!("open {opened:?}, first take after it {:?}", started.elapsed());
    queue.close().await?;
    std::fs::remove_dir_all(&path)?;
    Ok(())
}

fn report(what: &str, count: i64, elapsed: Duration) {
    println!("{what:40} {:>10.0} /s", count as f64 / elapsed.as_secs_f64());
}
