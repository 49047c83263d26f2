//! The publisher of Millstream's own change topic.

use std::sync::Arc;
use std::time::Duration;

use millstream_connectors::source::slot::{drop_slot, slot_status};
use millstream_connectors::source::topic::{ChangeTopicOptions, Publisher, RecordForm, TopicEnd};
use millstream_pipeline::Position;
use millstream_testkit::{KafkaBroker, World, wait_until};
use tokio_util::sync::CancellationToken;

use crate::source_bed::{logical_options, new_topic, source_options};
use crate::source_suite::commit;

const PATIENCE: Duration = Duration::from_secs(60);

/// NO-LOSS: every confirmed change is in the topic, and the publisher does not continue in a topic that lacks changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_confirms_what_it_wrote_and_does_not_hide_a_gap() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let database = World::fixtures().database().await;
    let mut session = database.session().await;
    let (slot, topic) = (logical_options(&database), new_topic());
    let end = TopicEnd::new(source_options(&servers, &topic, RecordForm::Millstream)).expect("valid options");
    assert_eq!(end.now().await.expect("a response"), Position::ZERO, "the topic does not exist yet");

    let publisher = Arc::new(Publisher::new(slot.clone(), ChangeTopicOptions::new(&servers, &topic)));
    let run = || {
        let (publisher, stop) = (Arc::clone(&publisher), CancellationToken::new());
        let stopping = stop.clone();
        (tokio::spawn(async move { publisher.run(&stopping).await }), stop)
    };
    let (running, stop) = run();
    wait_until("the slot to be followed", PATIENCE, || async { publisher.status().connected }).await;
    assert_eq!(end.now().await.expect("a response"), Position::before(1), "a topic that was begun is not empty");
    commit(session.client_mut(), [1, 2, 3]).await;
    let flushed: tokio_postgres::types::PgLsn =
        session.query_one("SELECT pg_current_wal_flush_lsn()", &[]).await.expect("an LSN").get(0);
    wait_until("what is committed to be confirmed", PATIENCE, || async {
        let slot = slot_status(&slot).await.expect("a response").expect("the slot");
        slot.confirmed >= Position::before(flushed.into())
    })
    .await;
    let after_its_beginning = Position::before(1 + 3);
    assert_eq!(end.now().await.expect("a response"), after_its_beginning, "what is confirmed is in the topic");
    assert_eq!(publisher.status().changes, 3);
    stop.cancel();
    running.await.expect("it stops");

    commit(session.client_mut(), [4]).await;
    drop_slot(&slot).await.expect("dropped");
    let (running, stop) = run();
    wait_until("it to report the gap", PATIENCE, || async {
        publisher.status().last_error.is_some_and(|error| error.contains("choose another source.topic"))
    })
    .await;
    assert_eq!(slot_status(&slot).await.expect("a response"), None, "no new slot hides the gap");
    stop.cancel();
    running.await.expect("it stops");
}
