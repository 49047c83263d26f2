//! Baseline of the Kafka sink: the records that it wrote, read back and sent again by plain producers.

use crate::failure::Failure;
use futures::future::join_all;
use millstream_pipeline::sink::Limits;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Two producers with their topics, and the records to send.
pub(super) struct KafkaBaseline {
    records: Vec<OwnedMessage>,
    idempotent: FutureProducer,
    transactional: FutureProducer,
    limits: Limits,
}

const IDEMPOTENT_TOPIC: &str = "bench-idempotent";
const TRANSACTIONAL_TOPIC: &str = "bench-transactional";

impl KafkaBaseline {
    /// Reads the records of the sink's topic, and sends them once with each producer.
    pub(super) async fn open(
        servers: &str,
        topic: &str,
        partitions: u32,
        count: usize,
        limits: Limits,
    ) -> Result<Self, Failure> {
        create_topics(servers, partitions).await?;
        let records = read(servers, topic, partitions, count).await?;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", servers)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random");
        let idempotent = config.create()?;
        // The same setting as the sink: all records of a batch are enqueued at once.
        let transactional: FutureProducer = config.set("transactional.id", "bench").set("linger.ms", "0").create()?;
        let baseline = {
            let opened = transactional.clone();
            tokio::task::spawn_blocking(move || opened.init_transactions(TIMEOUT)).await??;
            Self { records, idempotent, transactional, limits }
        };
        baseline.idempotent().await?;
        baseline.transactional().await?;
        Ok(baseline)
    }

    fn send(&self, producer: &FutureProducer, topic: &str, record: &OwnedMessage) -> Result<DeliveryFuture, Failure> {
        let (Some(key), Some(value), Some(headers)) = (record.key(), record.payload(), record.headers()) else {
            return Err("a record of the sink lacks its key, value or headers".into());
        };
        let record = FutureRecord::to(topic).key(key).payload(value).headers(headers.clone());
        producer.send_result(record).map_err(|(error, _)| error.into())
    }

    async fn send_all(&self, producer: &FutureProducer, topic: &str, records: &[OwnedMessage]) -> Result<(), Failure> {
        let sent = records.iter().map(|record| self.send(producer, topic, record)).collect::<Result<Vec<_>, _>>()?;
        for report in join_all(sent).await {
            report?.map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    /// Sends as many records at a time as the sink has in flight; returns documents per second.
    pub(super) async fn idempotent(&self) -> Result<f64, Failure> {
        let started = Instant::now();
        for records in self.records.chunks(self.limits.batch_documents_max * self.limits.in_flight_max) {
            self.send_all(&self.idempotent, IDEMPOTENT_TOPIC, records).await?;
        }
        Ok(self.records.len() as f64 / started.elapsed().as_secs_f64())
    }

    /// Sends one transaction per batch; returns documents per second.
    pub(super) async fn transactional(&self) -> Result<f64, Failure> {
        let started = Instant::now();
        for batch in self.records.chunks(self.limits.batch_documents_max) {
            self.transactional.begin_transaction()?;
            self.send_all(&self.transactional, TRANSACTIONAL_TOPIC, batch).await?;
            let producer = self.transactional.clone();
            tokio::task::spawn_blocking(move || producer.commit_transaction(TIMEOUT)).await??;
        }
        Ok(self.records.len() as f64 / started.elapsed().as_secs_f64())
    }
}

async fn create_topics(servers: &str, partitions: u32) -> Result<(), Failure> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", servers).create()?;
    let partitions = i32::try_from(partitions)?;
    let topics = [IDEMPOTENT_TOPIC, TRANSACTIONAL_TOPIC]
        .map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(1)).set("cleanup.policy", "compact"));
    for created in admin.create_topics(&topics, &AdminOptions::new()).await? {
        created.map_err(|(topic, code)| format!("failed to create the topic {topic}: {code}"))?;
    }
    Ok(())
}

/// Reads the first `count` records of a topic.
async fn read(servers: &str, topic: &str, partitions: u32, count: usize) -> Result<Vec<OwnedMessage>, Failure> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "bench-reader")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .create()?;
    let mut all = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions)? {
        all.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    let mut records = Vec::with_capacity(count);
    while records.len() < count {
        let message = tokio::time::timeout(TIMEOUT, consumer.recv()).await;
        records.push(message.map_err(|_| "timed out reading the records of the sink")??.detach());
    }
    Ok(records)
}
