//! Processes that share a queue through the brokers alone, and records that Millstream has not written.

use std::time::Duration;

use millstream_connectors::queue::kafka::{KafkaQueue, KafkaQueueOptions};
use millstream_pipeline::binding::Binding;
use millstream_pipeline::queue::conformance::work;
use millstream_pipeline::queue::{Lanes, QueueError, Settled, WorkQueue};
use millstream_pipeline::{ChangeKind, Position};
use millstream_testkit::{KafkaBroker, wait_until};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use uuid::Uuid;

use super::support::{WITHIN, join_alone, new_prefix, open, options};
use crate::support::{alter_topic, rows};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relay_projector_operator_and_sink_run_apart() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let options = options(&servers, &new_prefix());
    let (relay, projector) = tokio::join!(open(options.clone()), open(options.clone()));
    let (operator, sink) = tokio::join!(open(options.clone()), open(options));
    assert_eq!(relay.epoch(), projector.epoch(), "one queue, one epoch");
    let batch = (1..=3).map(|document_id| work(ChangeKind::Upsert, document_id, 1, 1)).collect();
    relay.put(batch, Some(Position::before(7))).await.expect("put");
    assert_eq!(operator.position().await.expect("position"), Some(Position::before(7)));
    operator.add_lane("search").await.expect("a lane");

    join_alone(&projector).await;
    let taken = projector.take(9).await.expect("taken");
    let refused = Settled::Quarantine { reason: "no such column".to_owned() };
    let delivered = Settled::Deliver { version: 1, deleted: false, repair: false };
    let settled = taken.iter().map(|taken| {
        let refused = taken.work.document_id == 2;
        (
            taken.ticket,
            if refused { Settled::Quarantine { reason: "no such column".to_owned() } } else { delivered.clone() },
        )
    });
    let report = projector.settle(settled.collect()).await.expect("settled");
    assert_eq!((report.removed, report.quarantined), (2, 1), "{refused:?}");

    let lane = sink.kafka_lane("search").await.expect("asked").expect("it is there");
    assert_eq!(lane.stats().await.expect("stats").depth, 2, "counted before it is a member");
    join_alone(&lane).await;
    let mut delivered: Vec<i64> =
        lane.take(9).await.expect("taken").iter().map(|taken| taken.work.document_id).collect();
    delivered.sort_unstable();
    assert_eq!(delivered, [1, 3]);

    let listed = operator.quarantined(None, 9).await.expect("listed");
    assert_eq!(
        listed.iter().map(|listed| (listed.work.document_id, &*listed.reason)).collect::<Vec<_>>(),
        [(2, "no such column")]
    );
    assert_eq!(operator.release(vec![2]).await.expect("released"), 1);
    projector.ready().await.expect("ready");
    let again = projector.take(9).await.expect("taken");
    assert_eq!(again.iter().map(|taken| taken.work.document_id).collect::<Vec<_>>(), [2]);
    projector.settle(vec![(again[0].ticket, Settled::Done)]).await.expect("settled");
    assert_eq!(operator.quarantined(None, 9).await.expect("listed"), []);

    assert!(operator.remove_lane("search").await.expect("removed"));
    wait_until("the sink to see the removal", WITHIN, || async {
        matches!(lane.take(1).await, Err(QueueError::NoLane { .. }))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_records_are_kept_and_hold_up_nothing() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let prefix = new_prefix();
    let queue = open(options(&servers, &prefix)).await;
    let mut config = ClientConfig::new();
    let foreign: ThreadedProducer<DefaultProducerContext> =
        config.set("bootstrap.servers", &servers).create().expect("a producer");
    let topic = format!("{prefix}.work");
    for value in [&b"{\"foreign\":true}"[..], &[2, 0, 1], &[]] {
        let record = BaseRecord::to(&topic).key("1").payload(value).partition(0);
        foreign.send(record).map_err(|(error, _)| error).expect("queued");
    }
    foreign.flush(Duration::from_secs(10)).expect("it is in the log");
    join_alone(&queue).await;
    queue.put((1..=9).map(|id| work(ChangeKind::Upsert, id, 1, 1)).collect(), None).await.expect("put");
    let taken = queue.take(99).await.expect("taken");
    assert_eq!(taken.len(), 9);
    let settled = taken.iter().map(|taken| (taken.ticket, Settled::Done)).collect();
    queue.settle(settled).await.expect("settled");
    assert_eq!(queue.membership().await.expect("an answer").refused, 3);
    let kept = || rows(&servers, &format!("{prefix}.work.quarantine"));
    wait_until("them to be kept", WITHIN, || std::future::ready(kept().len() == 3)).await;
    let keys: Vec<String> = kept().into_iter().map(|row| row.key).collect();
    assert_eq!(keys, ["refused/0/0", "refused/0/1", "refused/0/2"]);
    let operator = open(options(&servers, &prefix)).await;
    let listed = operator.unreadable().await.expect("listed");
    let found: Vec<_> = listed.iter().map(|one| (one.place.as_str(), one.reason.as_str(), one.value.len())).collect();
    let places = [0, 1, 2].map(|offset| format!("{topic}/0/{offset}"));
    let expected = [
        (places[0].as_str(), "its format is 123, this version reads 1", 16),
        (places[1].as_str(), "its format is 2, this version reads 1", 3),
        (places[2].as_str(), "its format is none, this version reads 1", 0),
    ];
    assert_eq!(found, expected);
    assert_eq!(operator.discard_unreadable(vec![places[1].clone()]).await.expect("discarded"), 1);
    assert_eq!(operator.discard_unreadable(vec![places[1].clone()]).await.expect("an answer"), 0, "it is gone");
    wait_until("the member to see the removal", WITHIN, || async {
        queue.stats().await.expect("stats").unreadable == 2
    })
    .await;
    operator.close().await;
    queue.close().await;
    let next = open(options(&servers, &prefix)).await;
    join_alone(&next).await;
    let membership = next.membership().await.expect("an answer");
    assert_eq!((membership.refused, next.stats().await.expect("stats").quarantined), (0, 0), "once is enough");
}

#[tokio::test]
async fn every_difference_of_its_topics_is_named() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let prefix = new_prefix();
    open(options(&servers, &prefix)).await.close().await;
    alter_topic(&servers, &format!("{prefix}.work"), &[("cleanup.policy", "compact")]).await;
    let other = millstream_connectors::queue::kafka::KafkaQueueOptions { partitions: 4, ..options(&servers, &prefix) };
    let Err(QueueError::Incompatible { differences, .. }) =
        millstream_connectors::queue::kafka::KafkaQueue::open(other).await
    else {
        panic!("it was opened")
    };
    let work = format!("{prefix}.work");
    let expected = [
        format!("{work}: it has 3 partitions, configured are 4: configure 3, or another prefix"),
        format!("{work}: cleanup.policy is compact, it has to be delete: alter the topic"),
        format!("{work}: retention.ms is 604800000, it has to be -1: alter the topic"),
        format!("{work}.quarantine: it has 3 partitions, configured are 4: configure 3, or another prefix"),
    ];
    assert_eq!(differences, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_of_another_database_is_given_nothing() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let prefix = new_prefix();
    let of = |database| KafkaQueueOptions {
        binding: Some(Binding::postgresql(Uuid::from_u128(database))),
        ..options(&servers, &prefix)
    };
    // As an earlier version left it, without a binding.
    let before = open(options(&servers, &prefix)).await;
    before.put(vec![work(ChangeKind::Upsert, 1, 1, 1)], Some(Position::before(7))).await.expect("put");
    before.close().await;
    let queue = open(of(1)).await;
    join_alone(&queue).await;
    let Err(refused) = KafkaQueue::open(of(2)).await else { panic!("it was let in") };
    assert!(matches!(refused, QueueError::Incompatible { .. }), "{refused}");
    let refused = refused.to_string();
    assert!(refused.contains("another database") && refused.contains("queue.topic_prefix"), "{refused}");
    let membership = queue.membership().await.expect("an answer");
    assert_eq!(membership.owned.len(), membership.partitions as usize, "the other process did not become a member");
    assert_eq!(queue.take(9).await.expect("taken").len(), 1);
}
