//! The configured change source: a factory for each kind.
//!
//! Every process of an installation has a factory, whether or not it follows the changes: the factory also knows the
//! position that a copy has to reach to show everything committed.

mod error;
mod poll;
mod slot;
mod topic;

use crate::{
    config::{Config, Kafka, SourceKind, Topic},
    failure::Failure,
};
use millstream_connectors::source::topic::KafkaSourceOptions;
use millstream_projector::SourceFactory;
use millstream_store::connect::Database;
use poll::PollFactory;
use slot::SlotFactory;
pub(super) use slot::options as slot_options;
use std::sync::Arc;
use topic::TopicFactory;

/// Returns the factory of the configured source of this database.
pub(crate) fn factory(config: &Config, database: &Database) -> Result<Arc<dyn SourceFactory>, Failure> {
    let source = &config.source;
    Ok(match &source.kind {
        SourceKind::Slot => Arc::new(SlotFactory::new(slot_options(database.options(), source))),
        SourceKind::Poll => Arc::new(PollFactory::new(database.clone())),
        SourceKind::Topic(topic) => {
            let options = topic_options(topic, brokers(config)?);
            Arc::new(TopicFactory::new(database.clone(), &source.slot, options).map_err(Failure::usage)?)
        }
    })
}

/// Returns the brokers of a topic of changes.
pub(super) fn brokers(config: &Config) -> Result<&Kafka, Failure> {
    let missing =
        || Failure::usage("the change source is a topic, but no brokers are configured: set kafka.bootstrap_servers");
    config.sinks.kafka.as_ref().ok_or_else(missing)
}

fn topic_options(topic: &Topic, kafka: &Kafka) -> KafkaSourceOptions {
    KafkaSourceOptions {
        properties: kafka.exposed_properties(),
        ..KafkaSourceOptions::new(&kafka.bootstrap_servers, &topic.name, &topic.group, topic.form)
    }
}
