//! From settings to the typed configuration.

use super::{
    check::Check,
    error::ConfigErrors,
    settings::Settings,
    values::{Api, Config, Database, Embedded, Log, Projector, QueueSettings, Renames, SinkSettings, Telemetry},
};
use millstream_projector::watchdog::{OnMismatch, WatchdogOptions};
use millstream_writer::BatchOptions;
use std::{path::PathBuf, time::Duration};

impl Config {
    /// Parses and checks the settings in force. The error names every problem.
    pub fn resolve(settings: &Settings) -> Result<Self, ConfigErrors> {
        let mut check = Check::new(settings);
        let data_dir = check.path("data_dir");
        let queue_dir = check.optional_path("queue.dir").unwrap_or_else(|| data_dir.join("queue"));
        let embedded_dir = check.optional_path("embedded.dir").unwrap_or_else(|| data_dir.join("search"));
        check.ordered("api.page_limit", "api.page_limit_max");
        let config = Self {
            schema: check.paths("schema"),
            data_dir,
            database: Database {
                url: check.database_url("database.url"),
                pool_size: check.number("database.pool_size"),
                lock_timeout: check.millis("database.lock_timeout_ms"),
                managed_port: check.number("database.managed_port"),
            },
            memory_bytes: check.number::<usize>("memory.budget_mib") * 1024 * 1024,
            source: check.source(),
            sinks: SinkSettings {
                wanted: check.sinks("sinks"),
                kafka: check.kafka(),
                embedded: Embedded {
                    dir: embedded_dir,
                    heap_bytes: check.number::<usize>("embedded.heap_mib") * 1024 * 1024,
                },
                engine: check.choice("search.sink").parse().ok(),
                opensearch: check.opensearch(),
            },
            outbox_keep: Duration::from_secs(check.number::<u64>("outbox.keep_hours") * 3_600),
            tombstones_keep: Duration::from_secs(check.number::<u64>("retention.tombstone_days") * 24 * 3_600),
            queue: QueueSettings {
                in_kafka: check.choice("queue.kind") == "kafka",
                topic_prefix: check.plain_text("queue.topic_prefix"),
                partitions: check.number("queue.partitions"),
                session_timeout: check.millis("queue.session_timeout_ms"),
                dir: queue_dir,
                cache_bytes: check.number::<u64>("queue.cache_mib") * 1024 * 1024,
                attempts_max: check.number("queue.attempts_max"),
            },
            api: Api {
                listen: check.loopback("api.listen"),
                public_url: check.public_url("api.public_url"),
                body_limit_bytes: check.number("api.body_limit_bytes"),
                bodies_limit_bytes: check.number("api.bodies_limit_bytes"),
                request_timeout: check.millis("api.request_timeout_ms"),
                requests_max: check.number("api.requests_max"),
                connections_max: check.number("api.connections_max"),
                page_limit: check.number("api.page_limit"),
                page_limit_max: check.number("api.page_limit_max"),
            },
            batching: batching(&mut check),
            renames: Renames {
                closure_max: check.number("identity.closure_max"),
                closure_depth_max: check.number("identity.closure_depth_max"),
                strict_max: check.number("cascade.strict_max"),
            },
            projector: Projector {
                batch: check.number("projector.batch"),
                workers: check.number("projector.workers"),
                cascade_page: check.number("cascade.page"),
                cascade_workers: check.number("cascade.workers"),
            },
            watchdog: watchdog(&mut check),
            shutdown_deadline: check.millis("shutdown.deadline_ms"),
            log: Log { filter: check.log_filter("log.level"), json: check.choice("log.format") == "json" },
            telemetry: Telemetry { otlp_endpoint: check.http_url("telemetry.otlp_endpoint") },
        };
        check.conclude(config)
    }

    /// Returns the schema files; an error if none is configured.
    pub fn schema_files(&self) -> Result<&[PathBuf], ConfigErrors> {
        if self.schema.is_empty() {
            return Err(ConfigErrors::one(
                "no ApiSchema file is named: give --schema FILE for the core project and each extension, \
                 set MILLSTREAM_SCHEMA, or put schema = [\"…\"] into the configuration file",
            ));
        }
        Ok(&self.schema)
    }
}

/// How writes share transactions.
fn batching(check: &mut Check<'_>) -> Option<BatchOptions> {
    let options = BatchOptions {
        lanes: check.number("writer.lanes"),
        documents_max: check.number("writer.batch_max"),
        bytes_max: check.number("writer.batch_max_bytes"),
        queue_bytes_max: check.number("writer.queue_max_bytes"),
    };
    (check.choice("writer.batching") == "on").then_some(options)
}

fn watchdog(check: &mut Check<'_>) -> WatchdogOptions {
    WatchdogOptions {
        documents_per_s: Some(check.number("watchdog.documents_per_s")).filter(|rate| *rate > 0),
        pass: Duration::from_secs(check.number::<u64>("watchdog.pass_days") * 24 * 3_600),
        on_mismatch: match check.choice("watchdog.on_mismatch").as_str() {
            "repair" => OnMismatch::Repair,
            "unhealthy" => OnMismatch::Unhealthy,
            _ => OnMismatch::Alert,
        },
        ..WatchdogOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::key::Key;

    fn resolve(name: &str, value: &str) -> Result<Config, ConfigErrors> {
        let key = Key::named(name).expect("the key exists");
        Config::resolve(&Settings::of_flags(vec![(key, vec![value.to_owned()])]))
    }

    #[test]
    fn spans_are_exported_to_a_plain_http_url_only() {
        let endpoint = |value| resolve("telemetry.otlp_endpoint", value).map(|config| config.telemetry.otlp_endpoint);
        let url = endpoint("http://127.0.0.1:4318").expect("it is valid").expect("it is set");
        assert_eq!(url.as_str(), "http://127.0.0.1:4318/");
        assert!(endpoint("").expect("empty is off").is_none());
        for value in ["https://collector.example", "127.0.0.1:4318", "grpc://127.0.0.1:4317"] {
            let error = endpoint(value).expect_err("not a plain http URL").to_string();
            assert!(error.contains("--telemetry-otlp-endpoint") && error.contains("plain http URL"), "{error}");
        }
    }
}
