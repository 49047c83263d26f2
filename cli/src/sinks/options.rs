//! The options of each sink, out of the configuration.

use crate::{
    compiled::Compiled,
    config::{Embedded, Kafka, OpenSearch, Secret},
};
use millstream_connectors::sink::embedded::EmbeddedOptions;
use millstream_connectors::sink::kafka::KafkaOptions;
use millstream_connectors::sink::opensearch::OpenSearchOptions;
use millstream_pipeline::binding::Binding;
use millstream_search::SearchModel;
use std::{fs, sync::Arc};

pub(super) fn kafka(kafka: &Kafka, compiled: &Compiled, binding: &Binding) -> KafkaOptions {
    let resources = compiled.schema.resource_keys.clone();
    KafkaOptions {
        partitions: kafka.partitions,
        replication: kafka.replication,
        in_sync_min: kafka.in_sync_min,
        record_bytes_max: kafka.record_bytes_max,
        properties: kafka.exposed_properties(),
        binding: Some(binding.clone()),
        ..KafkaOptions::new(&kafka.bootstrap_servers, &kafka.topic, resources)
    }
}

pub(super) fn embedded(configured: &Embedded, binding: &Binding) -> EmbeddedOptions {
    EmbeddedOptions {
        writer_heap_bytes: configured.heap_bytes,
        binding: Some(binding.clone()),
        ..EmbeddedOptions::new(&configured.dir)
    }
}

/// Fails when the certificate cannot be read.
pub(super) fn opensearch(
    configured: &OpenSearch,
    model: &Arc<SearchModel>,
    binding: &Binding,
) -> Result<OpenSearchOptions, String> {
    let read = |path: &std::path::PathBuf| {
        fs::read(path).map_err(|error| format!("opensearch.ca_file: cannot read {}: {error}", path.display()))
    };
    let exposed = |(name, password): &(String, Secret)| (name.clone(), password.expose().to_owned());
    Ok(OpenSearchOptions {
        user: configured.user.as_ref().map(exposed),
        ca_certificates: configured.ca_file.as_ref().map(read).transpose()?,
        replicas: configured.replicas,
        refresh_interval: configured.refresh,
        binding: Some(binding.clone()),
        ..OpenSearchOptions::new(&configured.url, &configured.prefix, Arc::clone(model))
    })
}
