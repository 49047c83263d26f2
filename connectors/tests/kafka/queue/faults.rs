//! Faults of the topics and brokers of a queue, as its members see them.

use std::time::Duration;

use millstream_connectors::queue::kafka::KafkaQueueOptions;
use millstream_pipeline::ChangeKind;
use millstream_pipeline::queue::conformance::work;
use millstream_pipeline::queue::{Settled, Work, WorkQueue};
use millstream_testkit::{BrokerOptions, KafkaBroker, wait_until};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use super::support::{WITHIN, join_alone, new_prefix, open, options};
use crate::support::rows;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_whose_topic_is_gone_says_so() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let prefix = new_prefix();
    let queue = open(options(&servers, &prefix)).await;
    join_alone(&queue).await;
    assert_eq!(queue.problem(), None);
    let topic = format!("{prefix}.work");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &servers).create().expect("an admin client");
    let deleted = admin.delete_topics(&[&topic], &AdminOptions::new()).await.expect("an answer");
    assert!(deleted[0].is_ok(), "{deleted:?}");
    wait_until("the problem to be known", WITHIN, || {
        let problem = queue.problem();
        std::future::ready(problem.is_some_and(|problem| problem.text.contains(&topic) && problem.at_ms > 0))
    })
    .await;
    queue.close().await;
}

/// A member that lost its partition writes no quarantine for it when the broker is back: the next owner has written its
/// own by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantine_write_ends_with_the_loss_of_its_partition() {
    let broker = KafkaBroker::start(BrokerOptions::default()).await;
    let options = KafkaQueueOptions {
        partitions: 1,
        attempts_max: 1,
        answer_timeout: Duration::from_secs(4),
        ..options(&broker.bootstrap_servers(), &new_prefix())
    };
    let queue = open(options).await;
    join_alone(&queue).await;
    queue.put(vec![work(ChangeKind::Upsert, 1, 1, 1)], None).await.expect("put");
    let taken = queue.take(1).await.expect("taken").remove(0);
    broker.pause(0);
    let failed = Settled::Failed { not_before_ms: 0, reason: "made for a test".to_owned() };
    let settled = tokio::time::timeout(WITHIN, queue.settle(vec![(taken.ticket, failed)])).await;
    broker.resume(0);
    settled.expect("it ends while the broker is away").expect("settled, or left to the next owner");
    wait_until("the member to have its partition again", WITHIN, || async {
        queue.membership().await.is_ok_and(|membership| membership.owned == [0])
    })
    .await;
    wait_until("the entry to be there again", WITHIN, || async {
        let stats = queue.stats().await.expect("stats");
        (stats.depth, stats.quarantined) == (1, 0)
    })
    .await;
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_to_repair_survives_the_compaction_of_a_later_edit() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let prefix = new_prefix();
    let queue = open(options(&servers, &prefix)).await;
    let edit = work(ChangeKind::Upsert, 1, 1, 1);
    queue.put(vec![Work { repair: true, ..edit.clone() }], None).await.expect("put");
    queue.put(vec![edit], None).await.expect("put");
    let written = rows(&servers, &format!("{prefix}.work"));
    let keys: Vec<&str> = written.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(keys, ["1/repair", "1"], "compaction keeps the last record of each key");
    assert_eq!(written[0].partition, written[1].partition);
    join_alone(&queue).await;
    let taken = queue.take(9).await.expect("taken");
    assert_eq!(taken.iter().map(|taken| (taken.work.document_id, taken.work.repair)).collect::<Vec<_>>(), [(1, true)]);
    queue.close().await;
}
