//! The table of all configuration keys. Flags, environment variables, file keys, defaults and the reference in
//! `docs/reference/configuration.md` are generated from it.

pub use super::kind::Kind;

/// A configuration key.
#[derive(Debug)]
pub struct Key {
    /// Name in the file, with dots for tables: `api.listen`.
    pub name: &'static str,
    /// Type of the value.
    pub kind: Kind,
    /// The default value; `None` where `unset` describes the default behaviour.
    pub default: Option<&'static str>,
    /// The behaviour without a value, for keys without a default.
    pub unset: &'static str,
    /// Help text, one sentence.
    pub help: &'static str,
}

impl Key {
    /// Returns the flag without its dashes: `api-listen`.
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    /// Returns the environment variable: `MILLSTREAM_API_LISTEN`.
    pub fn env(&self) -> String {
        format!("MILLSTREAM_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// Whether the value is masked when shown.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::DatabaseUrl | Kind::Secret | Kind::Properties)
    }

    /// Returns the key with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }
}

const fn key(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Key {
    Key { name, kind, default: Some(default), unset: "", help }
}

const fn optional(name: &'static str, kind: Kind, unset: &'static str, help: &'static str) -> Key {
    Key { name, kind, default: None, unset, help }
}

const fn number(min: u64, max: u64) -> Kind {
    Kind::Number { min, max }
}

/// Every key, in the order of the reference.
pub const KEYS: &[Key] = &[
    optional(
        "schema",
        Kind::Paths,
        "required by most commands",
        "ApiSchema files, or folders of them: one core project and any extensions.",
    ),
    key(
        "data_dir",
        Kind::Path,
        "data",
        "Folder for all data on this machine: the managed PostgreSQL cluster, the durable queue, the control socket.",
    ),
    optional(
        "database.url",
        Kind::DatabaseUrl,
        "a managed PostgreSQL cluster in `data_dir`",
        "The database: `postgres://user:password@host:5432/name?sslmode=verify-full`.",
    ),
    key(
        "database.pool_size",
        number(8, 1_000),
        "32",
        "Pooled connections to the database at most, divided between reads, writes, background work and health; the replication connection is not counted.",
    ),
    key(
        "database.lock_timeout_ms",
        number(100, 3_600_000),
        "5000",
        "A write that waits longer for a lock is answered with 503 and `Retry-After`.",
    ),
    key(
        "database.managed_port",
        number(0, 65_535),
        "0",
        "Port of the managed cluster on 127.0.0.1; 0 picks a free one and keeps it.",
    ),
    key(
        "memory.budget_mib",
        number(64, 1_048_576),
        "512",
        "Memory for rows and bodies of documents in this process, in MiB: work that needs more waits.",
    ),
    key(
        "source.kind",
        Kind::Choice(&["logical", "poll", "topic", "debezium"]),
        "logical",
        "Where changes come from: logical replication, polling of the outbox, a change topic that `millstream publish` fills, or a Debezium connector's topic.",
    ),
    key(
        "source.slot",
        Kind::Identifier,
        "millstream",
        "Name of the replication slot: that of this installation, or of the connector that fills `source.topic`.",
    ),
    key(
        "source.publication",
        Kind::Identifier,
        "millstream_outbox",
        "Name of the publication of the outbox, if it was provisioned under another name.",
    ),
    optional(
        "source.topic",
        Kind::Text,
        "required by the kinds topic and debezium",
        "The topic of changes, on the brokers of `kafka.bootstrap_servers`.",
    ),
    optional(
        "source.group",
        Kind::Text,
        "`millstream-` and the name of the slot",
        "Consumer group that stores the offsets of `source.topic`: one per queue, not shared.",
    ),
    optional(
        "source.form",
        Kind::Choice(&["millstream", "debezium-envelope", "debezium-flattened", "debezium-router"]),
        "that of the kind: `millstream`, or `debezium-envelope`",
        "Format of the records of `source.topic`.",
    ),
    key(
        "queue.kind",
        Kind::Choice(&["local", "kafka"]),
        "local",
        "Where the durable queue is: on the disk of this machine, or in Kafka (`kafka.bootstrap_servers`), where several processes share it.",
    ),
    key("queue.topic_prefix", Kind::Text, "millstream", "Prefix of the names of the queue's topics."),
    key(
        "queue.partitions",
        number(1, 10_000),
        "12",
        "Partitions of the queue's topics when they are created: the number of processes that can share the work.",
    ),
    key(
        "queue.session_timeout_ms",
        number(6_000, 300_000),
        "30000",
        "Silence after which a process that shares the queue loses its partitions to the others.",
    ),
    optional("queue.dir", Kind::Path, "`queue` in `data_dir`", "Folder of the durable queue."),
    key("queue.cache_mib", number(1, 65_536), "16", "Memory of the durable queue for blocks read from disk, in MiB."),
    key("queue.attempts_max", number(1, 1_000), "10", "Failed attempts at one document after which it is quarantined."),
    key(
        "outbox.keep_hours",
        number(1, 87_600),
        "72",
        "Change records are kept at least this long, and longer while a copy may need them.",
    ),
    key(
        "retention.tombstone_days",
        number(8, 36_500),
        "30",
        "Tombstones of deletes are kept at least this long, and longer while a copy may need them; older deletes cannot be replayed.",
    ),
    key(
        "api.listen",
        Kind::Address,
        "127.0.0.1:8080",
        "Address and port of the HTTP API: loopback only; port 0 picks a free one.",
    ),
    optional(
        "api.public_url",
        Kind::Url,
        "the loopback name of each request",
        "Address of the API for clients behind a proxy: links start with it, and requests may name its host.",
    ),
    key(
        "api.body_limit_bytes",
        number(1_024, 1_073_741_824),
        "4194304",
        "Largest request body; a larger one is answered with 413.",
    ),
    key(
        "api.bodies_limit_bytes",
        number(1_024, 1_099_511_627_776),
        "67108864",
        "Memory of all request bodies above 64 KiB, at least one of them; a further one waits 10 s and is answered with 503.",
    ),
    key("api.request_timeout_ms", number(100, 3_600_000), "60000", "A request that takes longer is answered with 503."),
    key(
        "api.requests_max",
        number(1, 100_000),
        "256",
        "Requests at the same time; further ones are answered with 503.",
    ),
    key(
        "api.connections_max",
        number(1, 100_000),
        "1024",
        "Connections with a request for documents in progress; a request on a further one is answered with 503.",
    ),
    key("api.page_limit", number(1, 100_000), "25", "Documents per page of a query without `limit`."),
    key("api.page_limit_max", number(1, 100_000), "500", "Largest `limit` of a query."),
    key(
        "writer.batching",
        Kind::Choice(&["on", "off"]),
        "on",
        "Whether POSTs and PUTs that are in progress at the same time share transactions.",
    ),
    key(
        "writer.lanes",
        number(1, 256),
        "2",
        "Transactions of batches at the same time, each with a session of its own.",
    ),
    key("writer.batch_max", number(1, 1_000), "256", "Documents in one transaction at most."),
    key(
        "writer.batch_max_bytes",
        number(1, 1_073_741_824),
        "4194304",
        "Request bodies in one transaction at most; one always fits.",
    ),
    key(
        "writer.queue_max_bytes",
        number(1_024, 1_073_741_824),
        "67108864",
        "Request bodies that wait for a transaction or are in one at most; a further one is answered with 503.",
    ),
    key(
        "identity.closure_max",
        number(1, 100_000_000),
        "100000",
        "Documents whose identity one rename may change; a larger one is answered with 409.",
    ),
    key(
        "identity.closure_depth_max",
        number(1, 1_000),
        "16",
        "Levels of references through which one rename may change identities.",
    ),
    key(
        "cascade.strict_max",
        number(0, 10_000_000),
        "1000",
        "Referrers outside that closure that a rename stamps in its own transaction; more are left to the projector.",
    ),
    key("cascade.page", number(1, 100_000), "500", "Referrers per transaction of a cascade."),
    key("cascade.workers", number(1, 64), "2", "Cascades processed at the same time."),
    key("projector.batch", number(1, 10_000), "200", "Documents that one rebuild batch reads in one snapshot."),
    key("projector.workers", number(1, 64), "2", "Rebuild batches at the same time."),
    key(
        "watchdog.documents_per_s",
        number(0, 100_000),
        "0",
        "Documents per second that the consistency watchdog recomputes; 0 for the rate of `watchdog.pass_days`.",
    ),
    key(
        "watchdog.pass_days",
        number(0, 3_650),
        "7",
        "Days for one pass of the watchdog over all documents, unless `watchdog.documents_per_s` is set; 0 for no watchdog.",
    ),
    key(
        "watchdog.on_mismatch",
        Kind::Choice(&["alert", "repair", "unhealthy"]),
        "alert",
        "Reaction to a confirmed mismatch beyond log, metrics and `millstream incidents`: none, repair it, or report the process as not ready until it is mended.",
    ),
    key(
        "shutdown.deadline_ms",
        number(0, 3_600_000),
        "25000",
        "Longest wait for requests and work in flight at a stop.",
    ),
    key(
        "sinks",
        Kind::Words(&crate::sink_kind::NAMES),
        "embedded",
        "Sinks to add at the start; each is filled with all existing documents. `millstream sink add` adds others at run time.",
    ),
    optional("embedded.dir", Kind::Path, "`search` in `data_dir`", "Folder of the embedded search index."),
    key(
        "embedded.heap_mib",
        number(15, 4_096),
        "20",
        "Memory that the writer of the embedded index uses before it writes to disk, in MiB.",
    ),
    key(
        "search.sink",
        Kind::Choice(&["auto", "embedded", "opensearch"]),
        "auto",
        "The sink that answers `/search`; `auto` is the first of embedded and opensearch that is delivered to.",
    ),
    optional(
        "kafka.bootstrap_servers",
        Kind::Text,
        "no Kafka",
        "Kafka brokers, `host:port,host:port`: of the documents topic, of a queue in Kafka, and of `source.topic`.",
    ),
    key("kafka.topic", Kind::Text, "edfi.documents.v1", "Name of the documents topic."),
    key(
        "kafka.partitions",
        number(1, 10_000),
        "6",
        "Partitions of the documents topic when it is created; must not be changed later.",
    ),
    key("kafka.replication", number(1, 100), "1", "Replicas of each partition."),
    key(
        "kafka.in_sync_min",
        number(1, 100),
        "1",
        "In-sync replicas that must have a record before it counts as written.",
    ),
    key(
        "kafka.record_bytes_max",
        number(1_000, 1_000_000_000),
        "1048588",
        "Largest record; a larger document is quarantined.",
    ),
    optional(
        "kafka.properties",
        Kind::Properties,
        "none",
        "Further properties of librdkafka, such as `security.protocol=SASL_SSL`, `sasl.username=…`, `ssl.ca.location=…`.",
    ),
    optional(
        "opensearch.url",
        Kind::Url,
        "no OpenSearch",
        "Address of the OpenSearch cluster: `https://search.example.org:9200`.",
    ),
    optional("opensearch.user", Kind::Text, "no user", "User of OpenSearch."),
    optional("opensearch.password", Kind::Secret, "no password", "Its password."),
    optional(
        "opensearch.ca_file",
        Kind::Path,
        "the authorities that the system trusts",
        "PEM file of the certificate authority of OpenSearch.",
    ),
    key(
        "opensearch.prefix",
        Kind::Text,
        "millstream",
        "Prefix of the names of all indexes: one per installation that shares the cluster.",
    ),
    key(
        "opensearch.replicas",
        number(0, 20),
        "0",
        "Replicas of each index: 1 on a cluster of several nodes, so that losing a node loses no data.",
    ),
    key(
        "opensearch.refresh_ms",
        number(100, 3_600_000),
        "1000",
        "Interval after which searches find delivered documents. Reads by id see them at once.",
    ),
    key("log.level", Kind::LogFilter, "info", "`error`, `warn`, `info`, `debug`, `trace`, or `target=level` pairs."),
    key("log.format", Kind::Choice(&["text", "json"]), "text", "Format of the log lines on stderr."),
    optional(
        "telemetry.otlp_endpoint",
        Kind::Url,
        "no export",
        "Base URL of an OpenTelemetry collector, plain http: spans are posted to `/v1/traces` below it as OTLP (protobuf).",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_keys_share_a_flag_or_a_variable() {
        assert_eq!(KEYS.iter().map(Key::flag).collect::<BTreeSet<_>>().len(), KEYS.len());
        assert_eq!(KEYS.iter().map(Key::env).collect::<BTreeSet<_>>().len(), KEYS.len());
    }

    #[test]
    fn names_become_flags_and_variables() {
        let key = Key::named("api.body_limit_bytes").expect("the key exists");
        assert_eq!(key.flag(), "api-body-limit-bytes");
        assert_eq!(key.env(), "MILLSTREAM_API_BODY_LIMIT_BYTES");
    }
}
