//! Tests of the replication source alone: the slot, its confirmations, and its faults.

use std::time::Duration;

use millstream_connectors::source::slot::{
    LogicalOptions, LogicalSource, drop_slot, ensure_slot, free_slot, slot_status,
};
use millstream_pipeline::Position;
use millstream_pipeline::source::{SourceError, SourceIdentity};
use millstream_testkit::wait_until;

use crate::support::{Bed, Consumer, Kind, PATIENCE, SourceBed};

async fn confirmed(options: &LogicalOptions) -> Position {
    slot_status(options).await.expect("a status").expect("a slot").confirmed
}

async fn error_of(options: LogicalOptions, stored: Position) -> SourceError {
    let source = LogicalSource::start(options, stored, None).expect("a source");
    Consumer::new(Box::new(source), stored).error().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slot_moves_only_as_far_as_was_confirmed() {
    let mut bed = Bed::new(Kind::Logical).await;
    let options = bed.logical_options();
    let mut consumer = Consumer::new(bed.start(bed.origin), bed.origin);
    bed.commit([1]).await;
    consumer.read(1).await;
    let first = consumer.position;
    bed.commit([2]).await;
    consumer.read(2).await;
    consumer.source.confirm(first);
    wait_until("the server has the confirmation", PATIENCE, || async { confirmed(&options).await == first }).await;
    consumer.source.confirm(Position::ZERO);
    consumer.source.confirm(consumer.position);
    let last = consumer.position;
    consumer.source.shutdown().await.expect("shut down");
    assert_eq!(confirmed(&options).await, last, "a shutdown waits for the last acknowledgement");
    assert!(!slot_status(&options).await.expect("a status").expect("a slot").active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_moves_an_idle_slot() {
    let bed = Bed::new(Kind::Logical).await;
    let heartbeat_interval = Some(Duration::from_millis(50));
    let options = LogicalOptions { heartbeat_interval, ..bed.logical_options() };
    let source = LogicalSource::start(options.clone(), bed.origin, None).expect("a source");
    let mut consumer = Consumer::new(Box::new(source), bed.origin);
    for _ in 0..3 {
        let before = confirmed(&options).await;
        let here = consumer.position;
        consumer.confirm_until(|position| position > here).await;
        consumer.source.confirm(consumer.position);
        wait_until("the slot moves", PATIENCE, || async { confirmed(&options).await > before }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_consumer_does_not_cost_the_connection() {
    let mut bed = Bed::new(Kind::Logical).await;
    let name = bed.database.options().dbname().to_owned();
    let impatient = format!(r#"ALTER DATABASE "{name}" SET wal_sender_timeout = '2s'"#);
    bed.writer.batch_execute(&impatient).await.expect("set");
    bed.batch_max = 10;
    let mut consumer = Consumer::new(bed.start(bed.origin), bed.origin);
    bed.commit([1]).await;
    consumer.read(1).await;
    // More than all buffers hold.
    bed.commit(2..=30_000).await;
    // The test is about this pause, so it sleeps.
    tokio::time::sleep(Duration::from_secs(6)).await;
    consumer.read(30_000).await;
    assert!(consumer.documents().into_iter().eq(1..=30_000));
    assert_eq!(consumer.source.status().reconnects, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_an_alarm() {
    let mut bed = Bed::new(Kind::Logical).await;
    let mut consumer = Consumer::new(bed.start(bed.origin), bed.origin);
    bed.commit([1]).await;
    consumer.read(1).await;
    consumer.source.confirm(consumer.position);
    consumer.source.shutdown().await.expect("shut down");
    let error = error_of(bed.logical_options(), bed.origin).await;
    assert!(matches!(error, SourceError::Gap { stored, .. } if stored == bed.origin), "{error}");
    assert!(error.needs_recovery());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_slot_is_lost_also_while_it_is_read() {
    let mut bed = Bed::new(Kind::Logical).await;
    let mut consumer = Consumer::new(bed.start(bed.origin), bed.origin);
    bed.commit([1]).await;
    consumer.read(1).await;
    let options = bed.logical_options();
    let observer = bed.database.session().await;
    let end = "SELECT count(pg_terminate_backend(active_pid)) FROM pg_replication_slots
                WHERE slot_name = $1 AND active";
    wait_until("the slot is gone", PATIENCE, || async {
        observer.execute(end, &[&options.slot]).await.expect("ended");
        drop_slot(&options).await.is_ok()
    })
    .await;
    let error = consumer.error().await;
    assert!(matches!(error, SourceError::Lost { .. }) && error.needs_recovery(), "{error}");
    assert!(matches!(consumer.error().await, SourceError::Stopped), "the error is returned once");
    assert!(matches!(error_of(options.clone(), bed.origin).await, SourceError::Lost { .. }));
    assert_eq!(slot_status(&options).await.expect("a status"), None);
    assert!(!drop_slot(&options).await.expect("nothing to drop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_is_foreign() {
    let mut bed = Bed::new(Kind::Logical).await;
    let slot = ensure_slot(&bed.logical_options()).await.expect("a slot");
    assert!(!slot.created && slot.position >= bed.origin);
    let elsewhere = SourceIdentity { system_identifier: "1".to_owned(), ..slot.identity.clone() };
    let (options, origin) = (bed.logical_options(), bed.origin);
    let start = |identity| LogicalSource::start(options.clone(), origin, Some(identity)).expect("a source");
    let error = Consumer::new(Box::new(start(elsewhere)), bed.origin).error().await;
    assert!(matches!(error, SourceError::Foreign { .. }), "{error}");
    let same = millstream_outbox::source_identity(&*bed.writer).await.expect("an identity");
    assert_eq!(same, slot.identity, "SQL and the replication protocol return the same identity");
    let other_timeline = SourceIdentity { timeline: 7, ..slot.identity.clone() };
    let error = Consumer::new(Box::new(start(other_timeline)), bed.origin).error().await;
    assert!(matches!(error, SourceError::Foreign { .. }), "{error}");
    bed.commit([1]).await;
    let mut home = Consumer::new(Box::new(start(slot.identity)), bed.origin);
    home.read(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_has_to_fix_is_refused_with_its_name() {
    let bed = Bed::new(Kind::Logical).await;
    let options = bed.logical_options();
    let refused = |error: SourceError, word: &str| {
        assert!(matches!(error, SourceError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error} does not contain {word}");
        assert!(!error.to_string().contains(&options.password) || options.password.is_empty());
    };
    let wrong = LogicalOptions { password: "wrong".to_owned(), ..options.clone() };
    refused(error_of(wrong, bed.origin).await, "password");
    let missing = LogicalOptions { publication: "no_such".to_owned(), ..options.clone() };
    refused(error_of(missing.clone(), bed.origin).await, "no_such");
    refused(ensure_slot(&missing).await.expect_err("refused"), "no_such");
    let unknown = LogicalOptions { database: "no_such_database".to_owned(), ..options.clone() };
    refused(ensure_slot(&unknown).await.expect_err("refused"), "no_such_database");
    assert!(
        LogicalSource::start(LogicalOptions { slot: "Bad".to_owned(), ..options.clone() }, bed.origin, None).is_err()
    );
    let others = "SELECT pg_create_logical_replication_slot($1, 'test_decoding')";
    let taken = LogicalOptions { slot: format!("{}_taken", options.slot), ..options.clone() };
    bed.writer.execute(others, &[&taken.slot]).await.expect("created");
    refused(error_of(taken.clone(), bed.origin).await, "test_decoding");
    refused(ensure_slot(&taken).await.expect_err("refused"), "test_decoding");
    bed.writer.batch_execute("CREATE PUBLICATION half WITH (publish = 'insert')").await.expect("created");
    refused(
        ensure_slot(&LogicalOptions { publication: "half".to_owned(), ..options.clone() }).await.expect_err(""),
        "Outbox",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_consumer_waits_for_the_first() {
    let mut bed = Bed::new(Kind::Logical).await;
    let mut first = Consumer::new(bed.start(bed.origin), bed.origin);
    bed.commit([1]).await;
    first.read(1).await;
    let mut second = Consumer::new(bed.start(bed.origin), bed.origin);
    wait_until("the second is refused", PATIENCE, || async { second.source.status().reconnects > 0 }).await;
    assert!(!second.source.status().connected && second.source.status().last_error.is_some());
    drop(first);
    second.read(1).await;
    assert!(second.source.status().connected);
}

/// Slot names are global to the server, and every database uses the same name by default.
#[tokio::test(flavor = "multi_thread")]
async fn the_slot_of_another_database_is_left_alone() {
    let mut bed = Bed::new(Kind::Logical).await;
    let mut consumer = Consumer::new(bed.start(bed.origin), bed.origin);
    bed.commit([1]).await;
    consumer.read(1).await;
    let neighbour = Bed::new(Kind::Logical).await;
    let strange = LogicalOptions { slot: bed.logical_options().slot, ..neighbour.logical_options() };
    let refused = ensure_slot(&strange).await.expect_err("it belongs to another database").to_string();
    assert!(refused.contains("source.slot"), "{refused}");
    assert!(slot_status(&strange).await.is_err(), "accepted as the own slot");
    assert!(!free_slot(&strange).await.expect("nothing to free"), "its reader was terminated");
    assert!(!drop_slot(&strange).await.expect("nothing to drop"), "it was dropped");
    bed.commit([2]).await;
    consumer.read(2).await;
    assert_eq!(consumer.source.status().reconnects, 0, "its reader was disturbed");
}
