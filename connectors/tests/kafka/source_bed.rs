//! A topic of a database's change records, filled by Millstream's relay or by one that imitates Debezium.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use millstream_connectors::source::slot::{LogicalOptions, LogicalSource, ensure_slot};
use millstream_connectors::source::topic::{
    ChangeTopicOptions, ChangeTopicWriter, KafkaSource, KafkaSourceOptions, RecordForm, relay,
};
use millstream_pipeline::Position;
use millstream_pipeline::source::{ChangeSource, SourceEvent};
use millstream_store::connect::Session;
use millstream_testkit::{KafkaBroker, TestDatabase, World};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::FutureProducer;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::fixtures::{Recorded, Recording, write};
use crate::source_suite::{Order, SourceBed};
use crate::support::make_topic;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The writer of the topic.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Writer {
    Own,
    Debezium(Recording),
}

impl Writer {
    fn form(self) -> RecordForm {
        match self {
            Self::Own => RecordForm::Millstream,
            Self::Debezium(recording) => recording.form,
        }
    }
}

pub(crate) struct TopicBed {
    writer: Writer,
    database: TestDatabase,
    session: Session,
    bootstrap_servers: String,
    topic: String,
    batch_max: usize,
    relay: JoinHandle<()>,
}

impl TopicBed {
    pub(crate) async fn new(writer: Writer) -> Self {
        let broker = KafkaBroker::shared().await;
        let database = World::fixtures().database().await;
        let session = database.session().await;
        let bootstrap_servers = broker.bootstrap_servers();
        let topic = new_topic();
        make_topic(&bootstrap_servers, &topic, 1, &[("cleanup.policy", "delete")]).await;
        let slot = logical_options(&database);
        let origin = ensure_slot(&slot).await.expect("a slot").position;
        let source = LogicalSource::start(slot, origin, None).expect("a source");
        let relay = tokio::spawn(run_relay(writer, Box::new(source), bootstrap_servers.clone(), topic.clone()));
        Self { writer, database, session, bootstrap_servers, topic, batch_max: 1_000, relay }
    }
}

impl Drop for TopicBed {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

/// Returns a name unique to a test.
pub(crate) fn new_topic() -> String {
    format!("changes-{}", Uuid::new_v4().simple())
}

pub(crate) fn producer(bootstrap_servers: &str) -> FutureProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers).set("enable.idempotence", "true");
    config.create().expect("a producer")
}

/// Options of a source with short intervals. Its group has the name of the topic.
pub(crate) fn source_options(bootstrap_servers: &str, topic: &str, form: RecordForm) -> KafkaSourceOptions {
    KafkaSourceOptions {
        report_interval: Duration::from_millis(100),
        idle_interval: Duration::from_millis(50),
        answer_timeout: Duration::from_secs(10),
        ..KafkaSourceOptions::new(bootstrap_servers, topic, topic, form)
    }
}

pub(crate) fn logical_options(database: &TestDatabase) -> LogicalOptions {
    let slot = format!("slot_{}", database.options().dbname());
    let options = LogicalOptions::new(database.options(), slot);
    LogicalOptions { status_interval: Duration::from_millis(100), heartbeat_interval: None, ..options }
}

/// Copies the slot into the topic until aborted.
async fn run_relay(writer: Writer, mut source: Box<dyn ChangeSource>, bootstrap_servers: String, topic: String) {
    let Writer::Debezium(recording) = writer else {
        let own = ChangeTopicWriter::open(ChangeTopicOptions::new(bootstrap_servers, topic)).await.expect("a writer");
        let Err(error) = relay(&mut *source, &own, |_, _| {}).await;
        panic!("{error}");
    };
    let producer = producer(&bootstrap_servers);
    loop {
        let event = source.next().await.expect("an event");
        let position = event.position();
        if let SourceEvent::Changes(batch) = event {
            let records: Vec<Recorded> = batch.changes.iter().map(|change| recording.like(change)).collect();
            // Queues all records in order before it waits for the first report.
            futures::future::join_all(records.iter().map(|record| write(&producer, &topic, record))).await;
        }
        source.confirm(position);
    }
}

impl SourceBed for TopicBed {
    fn order(&self) -> Order {
        Order::Records
    }

    fn database(&self) -> &TestDatabase {
        &self.database
    }

    fn writer(&mut self) -> &mut Client {
        self.session.client_mut()
    }

    fn origin(&self) -> Position {
        Position::ZERO
    }

    fn set_batch_max(&mut self, batch_max: usize) {
        self.batch_max = batch_max;
    }

    fn start(&self, stored: Position) -> Box<dyn ChangeSource> {
        let options = source_options(&self.bootstrap_servers, &self.topic, self.writer.form());
        let options = KafkaSourceOptions { batch_max: self.batch_max, ..options };
        Box::new(KafkaSource::start(options, stored).expect("a source"))
    }

    /// Writes a tombstone to a Debezium topic; a topic of Millstream contains changes only.
    fn move_on(&mut self) -> BoxFuture<'_, Position> {
        async move {
            if let Writer::Debezium(_) = self.writer {
                let tombstone = Recorded { key: Some("pruned".to_owned()), ..Recorded::default() };
                write(&producer(&self.bootstrap_servers), &self.topic, &tombstone).await;
            }
            end(&self.bootstrap_servers, &self.topic)
        }
        .boxed()
    }
}

/// Returns the position after the last record of a topic with one partition.
pub(crate) fn end(bootstrap_servers: &str, topic: &str) -> Position {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers);
    let reader: BaseConsumer = config.create().expect("a consumer");
    let (_, end) = reader.fetch_watermarks(topic, 0, ANSWER_WITHIN).expect("its end");
    Position::before(end.cast_unsigned())
}
