//! The conformance suite of all sources.

mod bed;
mod consumer;

use millstream_outbox::append;
use millstream_pipeline::NewChange;
use millstream_pipeline::source::SourceEvent;

pub(crate) use self::bed::{Order, SourceBed, changes, commit};
pub(crate) use self::consumer::{Consumer, PATIENCE};

/// Expands to a test of each case, on fixtures that the expression creates.
macro_rules! suite_of {
    ($bed:expr) => {
        $crate::source_suite::suite_of!($bed;
            changes_come_as_they_were_written,
            late_commits_are_not_lost,
            a_restart_goes_on_where_it_was_stored,
            a_long_transaction_comes_in_pieces,
            an_idle_source_moves_on,
            a_dropped_call_loses_nothing,
            rows_of_new_partitions_come_too,
        );
    };
    ($bed:expr; $($case:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $case() { $crate::source_suite::$case($bed.await).await; })*
    };
}
pub(crate) use suite_of;

pub(crate) async fn changes_come_as_they_were_written(mut bed: impl SourceBed) {
    commit(bed.writer(), [5, 2, 7]).await;
    commit(bed.writer(), [4]).await;
    commit(bed.writer(), std::iter::empty()).await;
    commit(bed.writer(), [2]).await;
    let mut consumer = Consumer::new(bed.start(bed.origin()), bed.origin());
    consumer.read(5).await;
    let as_written = consumer.changes.iter().map(|change| NewChange {
        document_id: change.document_id,
        document_uuid: change.document_uuid,
        resource_key: change.resource_key,
        kind: change.kind,
        content_version: change.content_version,
    });
    assert_eq!(as_written.collect::<Vec<_>>(), changes([5, 2, 7, 4, 2]));
    let xids: Vec<u64> = consumer.changes.iter().map(|change| change.xid).collect();
    assert!(xids[0] == xids[2] && xids[2] < xids[3] && xids[3] < xids[4]);
    commit(bed.writer(), [8]).await;
    consumer.read(6).await;
    assert_eq!(consumer.changes[5].document_id, 8, "it follows what is written later");
    let status = consumer.source.status();
    // The source may have returned an idle event after the last change.
    assert!(status.connected && status.delivered >= consumer.position && status.last_error.is_none(), "{status:?}");
}

pub(crate) async fn late_commits_are_not_lost(mut bed: impl SourceBed) {
    let mut late = bed.database().session().await;
    let slow = late.client_mut().transaction().await.expect("begin");
    append(&slow, &changes([1, 2])).await.expect("append");
    let mut consumer = Consumer::new(bed.start(bed.origin()), bed.origin());
    commit(bed.writer(), [3]).await;
    let in_order_of_commits = bed.order() != Order::Transactions;
    if in_order_of_commits {
        consumer.read(1).await;
        assert_eq!(consumer.documents(), [3], "it follows the commits");
    }
    append(&slow, &changes([4])).await.expect("append");
    slow.commit().await.expect("commit");
    consumer.read(4).await;
    let expected = if in_order_of_commits { [3, 1, 2, 4] } else { [1, 2, 4, 3] };
    assert_eq!(consumer.documents(), expected, "each once, those of a transaction together");
}

pub(crate) async fn a_restart_goes_on_where_it_was_stored(mut bed: impl SourceBed) {
    bed.set_batch_max(2);
    commit(bed.writer(), [1, 2, 3]).await;
    commit(bed.writer(), [4]).await;
    let mut first = Consumer::new(bed.start(bed.origin()), bed.origin());
    first.next().await.expect("an event");
    while first.changes.is_empty() {
        first.next().await.expect("an event");
    }
    let stored = first.position;
    let seen = first.documents();
    first.source.confirm(stored);
    first.source.shutdown().await.expect("shut down");
    commit(bed.writer(), [5]).await;
    let mut second = Consumer::new(bed.start(stored), stored);
    second.read(5 - seen.len()).await;
    assert_eq!([seen, second.documents()].concat(), [1, 2, 3, 4, 5], "nothing twice, nothing missing");
    drop(second);

    // A change that was returned but neither stored nor confirmed comes again.
    let mut third = Consumer::new(bed.start(stored), stored);
    third.read(5 - first.changes.len()).await;
    assert_eq!(third.documents().last(), Some(&5));
}

pub(crate) async fn a_long_transaction_comes_in_pieces(mut bed: impl SourceBed) {
    const ROWS: usize = 20_000;
    bed.set_batch_max(500);
    let sql = format!(
        r#"INSERT INTO "dms"."Outbox" ("DocumentId", "DocumentUuid", "ResourceKeyId", "Kind", "ContentVersion")
           SELECT n, gen_random_uuid(), 3, 'upsert', n FROM generate_series(1::bigint, {ROWS}) AS n"#
    );
    bed.writer().batch_execute(&sql).await.expect("written");
    let mut first = Consumer::new(bed.start(bed.origin()), bed.origin());
    while first.changes.len() < ROWS / 3 {
        first.next().await.expect("an event");
        first.source.confirm(first.position);
    }
    assert!(first.largest_batch <= 500);
    let stored = first.position;
    if bed.order() != Order::Records {
        assert_ne!(stored.ordinal, 0, "it lies inside the transaction");
    }
    first.source.shutdown().await.expect("shut down");
    let mut second = Consumer::new(bed.start(stored), stored);
    second.read(ROWS - first.changes.len()).await;
    let all: Vec<i64> = first.changes.iter().chain(&second.changes).map(|change| change.document_id).collect();
    assert!(all.iter().copied().eq(1..=ROWS as i64), "the rest of it came, and nothing of it twice");
}

pub(crate) async fn an_idle_source_moves_on(mut bed: impl SourceBed) {
    let mut consumer = Consumer::new(bed.start(bed.origin()), bed.origin());
    for _ in 0..3 {
        let now = bed.move_on().await;
        consumer.confirm_until(|position| position >= now).await;
    }
    assert_eq!(consumer.documents(), [0; 0]);
}

pub(crate) async fn a_dropped_call_loses_nothing(mut bed: impl SourceBed) {
    let mut consumer = Consumer::new(bed.start(bed.origin()), bed.origin());
    for document_id in 1..=50 {
        commit(bed.writer(), [document_id]).await;
        // Polls a call up to three times and drops it at any await.
        for _ in 0..document_id % 4 {
            let event = tokio::select! {
                biased;
                event = consumer.source.next() => event.expect("an event"),
                () = tokio::task::yield_now() => continue,
            };
            consumer.position = event.position();
            if let SourceEvent::Changes(batch) = event {
                consumer.changes.extend(batch.changes);
            }
        }
    }
    consumer.read(50).await;
    assert!(consumer.documents().into_iter().eq(1..=50));
}

pub(crate) async fn rows_of_new_partitions_come_too(mut bed: impl SourceBed) {
    let mut consumer = Consumer::new(bed.start(bed.origin()), bed.origin());
    commit(bed.writer(), [1]).await;
    consumer.read(1).await;
    let next = r#"SELECT setval(pg_get_serial_sequence('"dms"."Outbox"', 'OutboxId'), $1)"#;
    bed.writer().execute(next, &[&5_000_000_i64]).await.expect("set");
    let mut pooled = bed.database().database().get().await.expect("connected");
    let made = millstream_outbox::retention::ensure_partitions(&mut pooled, 1).await.expect("made");
    drop(pooled);
    assert!(made.contains(&"Outbox_5".to_owned()), "{made:?}");
    commit(bed.writer(), [2, 3]).await;
    consumer.read(3).await;
    assert_eq!(consumer.documents(), [1, 2, 3]);
}
