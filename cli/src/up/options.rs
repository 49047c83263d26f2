//! The options of each component, from the configuration.

use crate::config::Config;
use crate::failure::Failure;
use millstream_api::{ApiOptions, ServerOptions};
use millstream_connectors::queue::kafka::KafkaQueueOptions;
use millstream_connectors::queue::local::LocalQueueOptions;
use millstream_pipeline::binding::Binding;
use millstream_projector::ProjectorOptions;
use millstream_writer::WriterOptions;

/// Options of the writer, and of repairs, which take the same locks.
pub(crate) fn writer(config: &Config) -> WriterOptions {
    WriterOptions {
        closure_max: config.renames.closure_max,
        closure_depth_max: config.renames.closure_depth_max,
        strict_max: config.renames.strict_max,
        lock_timeout: config.database.lock_timeout,
        ..WriterOptions::default()
    }
}

pub(super) fn queue(config: &Config, binding: Binding) -> LocalQueueOptions {
    LocalQueueOptions {
        attempts_max: config.queue.attempts_max,
        cache_bytes: config.queue.cache_bytes,
        binding: Some(binding),
        ..LocalQueueOptions::default()
    }
}

/// Options of the queue in Kafka. Fails when no brokers are configured.
pub(super) fn kafka_queue(config: &Config, binding: Binding) -> Result<KafkaQueueOptions, Failure> {
    let Some(kafka) = &config.sinks.kafka else {
        return Err(Failure::usage("queue.kind is kafka, but no brokers are configured: set kafka.bootstrap_servers"));
    };
    Ok(KafkaQueueOptions {
        partitions: config.queue.partitions,
        replication: kafka.replication,
        in_sync_min: kafka.in_sync_min,
        session_timeout: config.queue.session_timeout,
        attempts_max: config.queue.attempts_max,
        properties: kafka.exposed_properties(),
        binding: Some(binding),
        ..KafkaQueueOptions::new(&kafka.bootstrap_servers, &config.queue.topic_prefix)
    })
}

pub(super) fn projector(config: &Config) -> ProjectorOptions {
    ProjectorOptions {
        rebuild_batch_max: config.projector.batch,
        rebuild_workers: config.projector.workers,
        cascade_page: config.projector.cascade_page,
        cascade_workers: config.projector.cascade_workers,
        ..ProjectorOptions::default()
    }
}

pub(super) fn api(config: &Config) -> ApiOptions {
    ApiOptions {
        public_url: config.api.public_url.clone(),
        body_max_bytes: config.api.body_limit_bytes,
        bodies_max_bytes: config.api.bodies_limit_bytes,
        request_timeout: config.api.request_timeout,
        requests_max: config.api.requests_max,
        limit_default: config.api.page_limit,
        limit_max: config.api.page_limit_max,
        ..ApiOptions::default()
    }
}

/// Options of the HTTP server. It gets half of the shutdown deadline; the projector and the database share the rest.
pub(super) fn server(config: &Config) -> ServerOptions {
    ServerOptions {
        connections_max: config.api.connections_max,
        drain_deadline: config.shutdown_deadline / 2,
        ..ServerOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    /// The reference documents these defaults, so they must be those that the components were measured with.
    #[test]
    fn without_configuration_each_component_has_its_own_defaults() {
        let settings = Settings::gather(None, &Vec::new(), Vec::new()).expect("defaults are valid");
        let config = Config::resolve(&settings).expect("defaults are valid");
        assert_eq!(writer(&config), WriterOptions::default());
        let of_none = Binding::postgresql(uuid::Uuid::nil());
        let (queue, usual) = (queue(&config, of_none), LocalQueueOptions::default());
        assert_eq!((queue.cache_bytes, queue.attempts_max), (usual.cache_bytes, usual.attempts_max));
        let (api, usual) = (api(&config), ApiOptions::default());
        assert_eq!(api.bodies_max_bytes, usual.bodies_max_bytes);
        assert_eq!(
            (api.body_max_bytes, api.request_timeout, api.requests_max, api.limit_default, api.limit_max),
            (usual.body_max_bytes, usual.request_timeout, usual.requests_max, usual.limit_default, usual.limit_max)
        );
        assert_eq!(server(&config).connections_max, ServerOptions::default().connections_max);
        let (projector, usual) = (projector(&config), ProjectorOptions::default());
        assert_eq!(
            (projector.rebuild_batch_max, projector.rebuild_workers),
            (usual.rebuild_batch_max, usual.rebuild_workers)
        );
        assert_eq!((projector.cascade_page, projector.cascade_workers), (usual.cascade_page, usual.cascade_workers));
    }
}
