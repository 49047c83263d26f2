//! The options of each sink, from the configuration.

use crate::{
    compiled::Compiled,
    config::{Embedded, Kafka, OpenSearch, Secret},
};
use millstream_connectors::sink::embedded::EmbeddedOptions;
use millstream_connectors::sink::kafka::KafkaOptions;
use millstream_connectors::sink::opensearch::OpenSearchOptions;
use millstream_pipeline::binding::Binding;
use millstream_pipeline::error::chain;
use millstream_search::SearchModel;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why a sink cannot be opened with this configuration. Cloned into every attempt to open the sink.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum SinkConfigError {
    /// The sink is not configured.
    #[error("{0}")]
    NotConfigured(&'static str),
    /// The certificate cannot be read.
    #[error("opensearch.ca_file: cannot read {}: {source}", path.display())]
    CaFile { path: PathBuf, source: Arc<io::Error> },
    /// The client refuses the options.
    #[error("{0}")]
    Client(String),
}

impl SinkConfigError {
    pub(super) fn client(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Client(chain(error))
    }
}

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

pub(super) fn opensearch(
    configured: &OpenSearch,
    model: &Arc<SearchModel>,
    binding: &Binding,
) -> Result<OpenSearchOptions, SinkConfigError> {
    let exposed = |(name, password): &(String, Secret)| (name.clone(), password.expose().to_owned());
    Ok(OpenSearchOptions {
        user: configured.user.as_ref().map(exposed),
        ca_certificates: configured.ca_file.as_deref().map(read_certificate).transpose()?,
        replicas: configured.replicas,
        refresh_interval: configured.refresh,
        binding: Some(binding.clone()),
        ..OpenSearchOptions::new(&configured.url, &configured.prefix, Arc::clone(model))
    })
}

fn read_certificate(path: &Path) -> Result<Vec<u8>, SinkConfigError> {
    let failed = |error| SinkConfigError::CaFile { path: path.to_owned(), source: Arc::new(error) };
    fs::read(path).map_err(failed)
}
