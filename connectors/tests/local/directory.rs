//! Directories that the queue opens, and those that it refuses and leaves alone.

use std::fs;

use millstream_connectors::queue::local::{LocalQueue, LocalQueueOptions};
use millstream_pipeline::binding::Binding;
use millstream_pipeline::queue::conformance::work;
use millstream_pipeline::queue::{Lanes, QueueError, Settled, WorkQueue};
use millstream_pipeline::{ChangeKind, Position};
use uuid::Uuid;

async fn open(path: &std::path::Path) -> Result<LocalQueue, QueueError> {
    LocalQueue::open(path, LocalQueueOptions::default()).await
}

#[tokio::test]
async fn one_holder_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = open(folder.path()).await.expect("opens");
    let second = open(folder.path()).await;
    assert!(matches!(second, Err(QueueError::InUse { path }) if path == folder.path()));
    queue.close().await.expect("closes");
    assert!(matches!(queue.position().await, Err(QueueError::Closed)));
    assert!(matches!(queue.ready().await, Err(QueueError::Closed)));
    let again = open(folder.path()).await.expect("opens once it is released");
    assert_eq!(again.epoch(), queue.epoch());
}

#[tokio::test]
async fn another_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path()).await.expect("opens").close().await.expect("closes");
    let format = folder.path().join("FORMAT");
    fs::write(&format, "millstream work queue, format 99\n").expect("written");
    let refused = open(folder.path()).await.expect_err("refused").to_string();
    assert!(refused.contains("format 99") && refused.contains("format 2"), "{refused}");
    assert_eq!(fs::read_to_string(&format).expect("read"), "millstream work queue, format 99\n");
}

/// Format 1 wrote the cache queue as format 2 does; a test of the bytes checks that.
#[tokio::test]
async fn a_queue_from_before_there_were_lanes_is_taken_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = open(folder.path()).await.expect("opens");
    queue.put(vec![work(ChangeKind::Upsert, 1, 1, 1)], Some(Position::before(7))).await.expect("put");
    queue.close().await.expect("closes");
    let format = folder.path().join("FORMAT");
    fs::write(&format, "millstream work queue, format 1\n").expect("written");
    let again = open(folder.path()).await.expect("opens");
    assert_eq!(fs::read_to_string(&format).expect("read"), "millstream work queue, format 2\n");
    assert_eq!((again.epoch(), again.position().await.expect("position")), (queue.epoch(), Some(Position::before(7))));
    let lane = again.add_lane("kafka").await.expect("a lane");
    let taken = again.take(1).await.expect("take").remove(0);
    again
        .settle(vec![(taken.ticket, Settled::Deliver { version: 1, deleted: false, repair: false })])
        .await
        .expect("settle");
    assert_eq!(lane.stats().await.expect("stats").depth, 1);
}

#[tokio::test]
async fn a_directory_of_something_else_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("thesis.txt"), "all of it").expect("written");
    assert!(matches!(open(folder.path()).await, Err(QueueError::Format { .. })));
    assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 1);
}

#[tokio::test]
async fn a_crash_while_making_a_queue_is_no_obstacle() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("FORMAT.new"), "mill").expect("written");
    let queue = open(folder.path()).await.expect("opens");
    queue.put(vec![], Some(Position::before(1))).await.expect("put");
}

#[tokio::test]
async fn the_queue_of_another_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let of = |database| {
        let binding = Some(Binding::postgresql(Uuid::from_u128(database)));
        LocalQueue::open(folder.path(), LocalQueueOptions { binding, ..LocalQueueOptions::default() })
    };
    // As an earlier version left it, without a binding.
    let queue = open(folder.path()).await.expect("opens");
    queue.put(vec![work(ChangeKind::Upsert, 1, 1, 1)], Some(Position::before(7))).await.expect("put");
    queue.close().await.expect("closes");
    of(1).await.expect("it is taken as one's own").close().await.expect("closes");
    let refused = of(2).await.expect_err("it is another's").to_string();
    assert!(refused.contains("another database") && refused.contains("queue.dir"), "{refused}");
    let queue = of(1).await.expect("it is as it was");
    assert_eq!(queue.stats().await.expect("stats").depth, 1);
}
