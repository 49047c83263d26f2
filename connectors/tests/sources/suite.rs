//! What every source promises.

use millstream_outbox::source::SourceEvent;
use millstream_outbox::{NewChange, Position, append};

use crate::support::{Bed, Consumer, Kind, changes};

/// Makes a test of each case for each kind of source.
macro_rules! for_every_source {
    ($($case:ident),* $(,)?) => {
        mod logical {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() { super::$case(super::Bed::new(super::Kind::Logical).await).await; })*
        }
        mod poll {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() { super::$case(super::Bed::new(super::Kind::Poll).await).await; })*
        }
    };
}

for_every_source!(
    changes_come_as_they_were_written,
    late_commits_are_not_lost,
    a_restart_goes_on_where_it_was_stored,
    a_long_transaction_comes_in_pieces,
    an_idle_source_moves_on,
    a_dropped_call_loses_nothing,
    rows_of_new_partitions_come_too,
);

async fn changes_come_as_they_were_written(mut bed: Bed) {
    bed.commit([5, 2, 7]).await;
    bed.commit([4]).await;
    bed.commit(std::iter::empty()).await;
    bed.commit([2]).await;
    let mut consumer = Consumer::new(bed.start(bed.origin), bed.origin);
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
    bed.commit([8]).await;
    consumer.read(6).await;
    assert_eq!(consumer.changes[5].document_id, 8, "it follows what is written later");
    let status = consumer.source.status();
    // An idle event may have been handed out after the last change.
    assert!(status.connected && status.delivered >= consumer.position && status.last_error.is_none(), "{status:?}");
}

async fn late_commits_are_not_lost(mut bed: Bed) {
    let mut late = bed.database.session().await;
    let slow = late.client_mut().transaction().await.expect("begin");
    append(&slow, &changes([1, 2])).await.expect("append");
    let mut consumer = Consumer::new(bed.start(bed.origin), bed.origin);
    bed.commit([3]).await;
    if bed.kind == Kind::Logical {
        consumer.read(1).await;
        assert_eq!(consumer.documents(), [3], "replication follows the commits");
    }
    append(&slow, &changes([4])).await.expect("append");
    slow.commit().await.expect("commit");
    consumer.read(4).await;
    let expected = if bed.kind == Kind::Logical { [3, 1, 2, 4] } else { [1, 2, 4, 3] };
    assert_eq!(consumer.documents(), expected, "each once, those of a transaction together");
}

async fn a_restart_goes_on_where_it_was_stored(mut bed: Bed) {
    bed.batch_max = 2;
    bed.commit([1, 2, 3]).await;
    bed.commit([4]).await;
    let mut first = Consumer::new(bed.start(bed.origin), bed.origin);
    first.next().await.expect("an event");
    while first.changes.is_empty() {
        first.next().await.expect("an event");
    }
    let stored = first.position;
    let seen = first.documents();
    first.source.confirm(stored);
    first.source.shutdown().await.expect("shut down");
    bed.commit([5]).await;
    let mut second = Consumer::new(bed.start(stored), stored);
    second.read(5 - seen.len()).await;
    assert_eq!([seen, second.documents()].concat(), [1, 2, 3, 4, 5], "nothing twice, nothing missing");
    drop(second);

    // It was handed out but neither stored nor confirmed: it comes again.
    let mut third = Consumer::new(bed.start(stored), stored);
    third.read(5 - first.changes.len()).await;
    assert_eq!(third.documents().last(), Some(&5));
}

async fn a_long_transaction_comes_in_pieces(mut bed: Bed) {
    const ROWS: usize = 20_000;
    bed.batch_max = 500;
    let sql = format!(
        r#"INSERT INTO "dms"."Outbox" ("DocumentId", "DocumentUuid", "ResourceKeyId", "Kind", "ContentVersion")
           SELECT n, gen_random_uuid(), 3, 'upsert', n FROM generate_series(1::bigint, {ROWS}) AS n"#
    );
    bed.writer.batch_execute(&sql).await.expect("written");
    let mut first = Consumer::new(bed.start(bed.origin), bed.origin);
    while first.changes.len() < ROWS / 3 {
        first.next().await.expect("an event");
        first.source.confirm(first.position);
    }
    assert!(first.largest_batch <= 500);
    let stored = first.position;
    assert_ne!(stored.ordinal, 0, "it lies inside the transaction");
    first.source.shutdown().await.expect("shut down");
    let mut second = Consumer::new(bed.start(stored), stored);
    second.read(ROWS - first.changes.len()).await;
    let all: Vec<i64> = first.changes.iter().chain(&second.changes).map(|change| change.document_id).collect();
    assert!(all.iter().copied().eq(1..=ROWS as i64), "the rest of it came, and nothing of it twice");
}

async fn an_idle_source_moves_on(bed: Bed) {
    let mut consumer = Consumer::new(bed.start(bed.origin), bed.origin);
    let elsewhere = bed.database.session().await;
    elsewhere.batch_execute("CREATE TABLE public.neighbour (n int)").await.expect("created");
    for _ in 0..3 {
        elsewhere.batch_execute("INSERT INTO public.neighbour VALUES (1)").await.expect("written");
        let now = match bed.kind {
            Kind::Logical => "SELECT pg_current_wal_insert_lsn()::text || ':0'",
            Kind::Poll => "SELECT '0/' || to_hex(pg_current_xact_id()::text::int8) || ':0'",
        };
        let now: String = elsewhere.query_one(now, &[]).await.expect("a position").get(0);
        let now: Position = now.parse().expect("a position");
        consumer.confirm_until(|position| position >= now).await;
    }
    assert_eq!(consumer.documents(), [0; 0]);
}

async fn a_dropped_call_loses_nothing(mut bed: Bed) {
    let mut consumer = Consumer::new(bed.start(bed.origin), bed.origin);
    for document_id in 1..=50 {
        bed.commit([document_id]).await;
        // Polled once or a few times, then dropped, wherever it is.
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

async fn rows_of_new_partitions_come_too(mut bed: Bed) {
    let mut consumer = Consumer::new(bed.start(bed.origin), bed.origin);
    bed.commit([1]).await;
    consumer.read(1).await;
    let next = r#"SELECT setval(pg_get_serial_sequence('"dms"."Outbox"', 'OutboxId'), $1)"#;
    bed.writer.execute(next, &[&5_000_000_i64]).await.expect("set");
    let made = millstream_outbox::retention::ensure_partitions(bed.writer.client_mut(), 1).await.expect("made");
    assert!(made.contains(&"Outbox_5".to_owned()), "{made:?}");
    bed.commit([2, 3]).await;
    consumer.read(3).await;
    assert_eq!(consumer.documents(), [1, 2, 3]);
}
