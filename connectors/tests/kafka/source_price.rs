//! The cost of reading a topic of changes, by form. Prints figures and asserts nothing.

use std::time::Instant;

use futures::StreamExt as _;
use millstream_connectors::source::topic::{ChangeTopicOptions, ChangeTopicWriter, KafkaSource, RecordForm};
use millstream_pipeline::{Change, ChangeKind, Position};
use millstream_testkit::KafkaBroker;
use uuid::Uuid;

use crate::fixtures::{ENVELOPE, ROUTER, SCHEMAS, write};
use crate::source_bed::{new_topic, producer, source_options};
use crate::source_suite::Consumer;
use crate::support::make_topic;

const CHANGES: usize = 20_000;
const IN_FLIGHT: usize = 5_000;

fn changes() -> Vec<Change> {
    let change = |number: usize| Change {
        outbox_id: number as i64,
        xid: number as u64,
        document_id: number as i64,
        document_uuid: Uuid::from_u128(number as u128),
        resource_key: 3,
        kind: ChangeKind::Upsert,
        content_version: number as i64,
    };
    (1..=CHANGES).map(change).collect()
}

/// Reads the topic; the figure includes opening it.
async fn read(servers: &str, topic: &str, form: RecordForm) -> f64 {
    let begun = Instant::now();
    let source = KafkaSource::start(source_options(servers, topic, form), Position::ZERO).expect("a source");
    let mut consumer = Consumer::new(Box::new(source), Position::ZERO);
    while consumer.changes.len() < CHANGES {
        consumer.next().await.expect("an event");
        consumer.source.confirm(consumer.position);
    }
    CHANGES as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn changes_a_second() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let changes = changes();
    let topic = new_topic();
    let writer =
        ChangeTopicWriter::open(ChangeTopicOptions::new(servers.as_str(), topic.as_str())).await.expect("open");
    let begun = Instant::now();
    for batch in changes.chunks(1_000) {
        writer.write(batch).await.expect("written");
    }
    let written = CHANGES as f64 / begun.elapsed().as_secs_f64();
    let read_own = read(&servers, &topic, RecordForm::Millstream).await;
    println!("{CHANGES} changes in our own form: {written:.0}/s written, {read_own:.0}/s read");
    let producer = producer(&servers);
    for recording in [ENVELOPE, SCHEMAS, ROUTER] {
        let topic = new_topic();
        make_topic(&servers, &topic, 1, &[("cleanup.policy", "delete")]).await;
        futures::stream::iter(&changes)
            .for_each_concurrent(IN_FLIGHT, |change| {
                let (producer, topic) = (&producer, &topic);
                async move { write(producer, topic, &recording.like(change)).await }
            })
            .await;
        let rate = read(&servers, &topic, recording.form).await;
        println!("{CHANGES} changes as {}: {rate:.0}/s read", recording.name);
    }
}
