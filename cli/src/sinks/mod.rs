//! What the configuration says about the copies of all documents: which there can be, and how each is opened.
//!
//! People name a sink (`kafka`); the durable queue names lanes. A sink whose content can be built anew beside what is live
//! has a lane for each generation (`opensearch-g2`), any other has one of its own name.

mod lane;

pub use lane::LaneName;

use crate::{
    compiled::Compiled,
    config::{Config, Kafka, Secret},
};
use futures::future::BoxFuture;
use millstream_connectors::kafka::{KafkaOptions, KafkaSink};
use millstream_projector::{
    fleet::SinkFactory,
    sink::{Sink, SinkError},
};
use std::{fmt, sync::Arc};

/// All sinks that are configured.
pub struct Sinks {
    /// Those that the configuration wants from the start on.
    pub wanted: Vec<String>,
    kafka: Option<KafkaOptions>,
}

impl Sinks {
    /// What the configuration names.
    pub fn new(config: &Config, compiled: &Compiled) -> Self {
        let kafka = config.sinks.kafka.as_ref().map(|kafka| kafka_options(kafka, compiled));
        Self { wanted: config.sinks.wanted.clone(), kafka }
    }

    /// The lane that a sink of this name gets when it is added.
    ///
    /// # Errors
    /// When there is no such sink, or its generations cannot be asked for.
    pub async fn lane_of_new(&self, sink: &str) -> Result<String, SinkError> {
        match sink {
            "kafka" => Ok(sink.to_owned()),
            other => Err(unknown(other)),
        }
    }

    fn open_kafka(&self) -> Result<Arc<dyn Sink>, SinkError> {
        let Some(options) = self.kafka.clone() else {
            return Err(unfit("kafka", "no brokers are configured: set kafka.bootstrap_servers".to_owned()));
        };
        match KafkaSink::new(options) {
            Ok(sink) => Ok(Arc::new(sink)),
            Err(error) => Err(SinkError::Unfit { sink: "kafka".to_owned(), differences: error.faults }),
        }
    }
}

fn kafka_options(kafka: &Kafka, compiled: &Compiled) -> KafkaOptions {
    let resources = compiled.schema.resource_keys.clone();
    let exposed = |(name, value): (&String, &Secret)| (name.clone(), value.expose().to_owned());
    KafkaOptions {
        partitions: kafka.partitions,
        replication: kafka.replication,
        in_sync_min: kafka.in_sync_min,
        record_bytes_max: kafka.record_bytes_max,
        properties: kafka.properties.iter().map(exposed).collect(),
        ..KafkaOptions::new(&kafka.bootstrap_servers, &kafka.topic, resources)
    }
}

fn unfit(sink: &str, difference: String) -> SinkError {
    SinkError::Unfit { sink: sink.to_owned(), differences: vec![difference] }
}

fn unknown(sink: &str) -> SinkError {
    unfit(sink, "there is no such sink: kafka is one".to_owned())
}

impl SinkFactory for Sinks {
    fn open<'a>(&'a self, lane: &'a str) -> BoxFuture<'a, Result<Arc<dyn Sink>, SinkError>> {
        Box::pin(async move {
            let name = LaneName::parse(lane);
            match (name.sink, name.generation) {
                ("kafka", None) => self.open_kafka(),
                _ => Err(unknown(lane)),
            }
        })
    }
}

/// Names only: the settings of a sink may be secret.
impl fmt::Debug for Sinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sinks").field("wanted", &self.wanted).field("kafka", &self.kafka).finish()
    }
}
