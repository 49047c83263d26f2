//! The one table of everything that can be configured: flags, environment variables, file keys, defaults and the
//! reference in `docs/reference/configuration.md` all come from it.

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file or a folder.
    Path,
    /// Several of them: a list in a file, `:` between them in the environment, a repeated flag.
    Paths,
    /// Address and port.
    Address,
    /// A PostgreSQL connection string; it may hold a password.
    DatabaseUrl,
    /// An http or https URL.
    Url,
    /// A name of an object in PostgreSQL.
    Identifier,
    /// A whole number between these bounds.
    Number {
        /// The smallest that is accepted.
        min: u64,
        /// The largest that is accepted.
        max: u64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Several of these words, or none: a list in a file, `,` between them elsewhere.
    Words(&'static [&'static str]),
    /// Text.
    Text,
    /// Text that is never shown.
    Secret,
    /// `name=value` pairs, whose values are never shown: a list in a file, `,` between them elsewhere.
    Properties,
    /// A filter of log messages: a level, or `target=level` pairs.
    LogFilter,
}

impl Kind {
    /// What stands between several values where there is no list; none for a kind that takes one.
    pub const fn separator(self) -> Option<char> {
        match self {
            Self::Paths => Some(':'),
            Self::Words(_) | Self::Properties => Some(','),
            _ => None,
        }
    }
}

/// One thing that can be configured.
#[derive(Debug)]
pub struct Key {
    /// Its name in the file, dots for tables: `api.listen`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// The value without any configuration; `None` where `unset` says what happens then.
    pub default: Option<&'static str>,
    /// What happens without a value, for those without a default.
    pub unset: &'static str,
    /// What it does, in one sentence.
    pub help: &'static str,
}

impl Key {
    /// The flag without its dashes: `api-listen`.
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    /// The environment variable: `MILLSTREAM_API_LISTEN`.
    pub fn env(&self) -> String {
        format!("MILLSTREAM_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// Whether its value is masked when shown.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::DatabaseUrl | Kind::Secret | Kind::Properties)
    }

    /// The key with this name.
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
        "Folder for everything that Millstream keeps on this machine: its own PostgreSQL cluster, the durable queue, the control socket.",
    ),
    optional(
        "database.url",
        Kind::DatabaseUrl,
        "a PostgreSQL cluster of its own in `data_dir`",
        "The database: `postgres://user:password@host:5432/name?sslmode=verify-full`.",
    ),
    key(
        "database.pool_size",
        number(8, 1_000),
        "32",
        "Connections to the database at most; the replication connection comes on top.",
    ),
    key(
        "database.managed_port",
        number(0, 65_535),
        "0",
        "Port on 127.0.0.1 of the managed cluster; 0 picks a free one and keeps it.",
    ),
    key(
        "source.kind",
        Kind::Choice(&["logical", "poll", "topic", "debezium"]),
        "logical",
        "Where changes come from: logical replication, polling of the outbox, our own change topic (`millstream publish` fills it), or a Debezium connector's topic.",
    ),
    key(
        "source.slot",
        Kind::Identifier,
        "millstream",
        "Name of the replication slot: ours, or that of whoever fills `source.topic`.",
    ),
    key(
        "source.publication",
        Kind::Identifier,
        "millstream_outbox",
        "Name of the publication of the outbox, for a database that somebody else provisioned under another name.",
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
        "Consumer group that keeps the offsets of `source.topic`: one for each queue, shared with nobody.",
    ),
    optional(
        "source.form",
        Kind::Choice(&["millstream", "debezium-envelope", "debezium-flattened", "debezium-router"]),
        "what the kind brings: `millstream`, or `debezium-envelope`",
        "How the records of `source.topic` are written.",
    ),
    key(
        "queue.kind",
        Kind::Choice(&["local", "kafka"]),
        "local",
        "Where work waits: on this machine's disk, or in Kafka (`kafka.bootstrap_servers`), where processes that run apart share it.",
    ),
    key("queue.topic_prefix", Kind::Text, "millstream", "What the names of the queue's topics begin with."),
    key(
        "queue.partitions",
        number(1, 10_000),
        "12",
        "Partitions of the queue's topics if they have to be made: processes that share the work at most.",
    ),
    key(
        "queue.session_timeout_ms",
        number(6_000, 300_000),
        "30000",
        "A process that shares the queue and is silent for so long loses its work to the others.",
    ),
    optional("queue.dir", Kind::Path, "`queue` in `data_dir`", "Folder of the durable queue."),
    key("queue.cache_mib", number(1, 65_536), "16", "Memory of the durable queue for blocks read from disk, in MiB."),
    key("queue.attempts_max", number(1, 1_000), "10", "Failed attempts at one document after which it is quarantined."),
    key(
        "outbox.keep_hours",
        number(1, 87_600),
        "72",
        "Change records are kept at least so long, and longer while a copy may need them.",
    ),
    key(
        "retention.tombstone_days",
        number(8, 36_500),
        "30",
        "Deletes are remembered at least so long, and longer while a copy may need them; older ones cannot be replayed.",
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
        "taken from each request",
        "How clients reach the API, where a proxy hides it: links start with it.",
    ),
    key(
        "api.body_limit_bytes",
        number(1_024, 1_073_741_824),
        "4194304",
        "Largest request body; a larger one is answered with 413.",
    ),
    key("api.request_timeout_ms", number(100, 3_600_000), "60000", "A request that takes longer is answered with 503."),
    key(
        "api.requests_max",
        number(1, 100_000),
        "256",
        "Requests worked on at a time; further ones are answered with 503.",
    ),
    key("api.connections_max", number(1, 100_000), "1024", "Open connections; further ones wait."),
    key("api.page_limit", number(1, 100_000), "25", "Documents of a page if a query does not say."),
    key("api.page_limit_max", number(1, 100_000), "500", "Largest `limit` of a query."),
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
        "Levels of references that a changed identity may travel through.",
    ),
    key(
        "cascade.strict_max",
        number(0, 10_000_000),
        "1000",
        "Referrers outside that closure which a rename brings up to date in its own transaction; more are left to the projector.",
    ),
    key("cascade.page", number(1, 100_000), "500", "Referrers that one transaction of a cascade looks at."),
    key("cascade.workers", number(1, 64), "2", "Cascades worked off at the same time."),
    key("projector.batch", number(1, 10_000), "200", "Documents that one rebuild reads in one snapshot."),
    key("projector.workers", number(1, 64), "2", "Rebuild batches in flight."),
    key(
        "shutdown.deadline_ms",
        number(0, 3_600_000),
        "25000",
        "Time that a stop waits for requests and work in flight.",
    ),
    key(
        "sinks",
        Kind::Words(&["embedded", "kafka", "opensearch"]),
        "embedded",
        "Copies to keep from the start on; each is filled with what is there already. `millstream sink add` adds others while it runs.",
    ),
    optional("embedded.dir", Kind::Path, "`search` in `data_dir`", "Folder of the embedded search index."),
    key(
        "embedded.heap_mib",
        number(15, 4_096),
        "20",
        "Memory that the writer of the embedded index fills before it writes to disk, in MiB.",
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
        "The Kafka brokers, `host:port,host:port`: of the documents topic, of a queue in Kafka, and of `source.topic`.",
    ),
    key("kafka.topic", Kind::Text, "edfi.documents.v1", "Name of the documents topic."),
    key(
        "kafka.partitions",
        number(1, 10_000),
        "6",
        "Partitions of the topic if it has to be made; never to be changed later.",
    ),
    key("kafka.replication", number(1, 100), "1", "Copies of each partition."),
    key("kafka.in_sync_min", number(1, 100), "1", "Copies that have to have a record before it counts as written."),
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
        "More properties of librdkafka, such as `security.protocol=SASL_SSL`, `sasl.username=…`, `ssl.ca.location=…`.",
    ),
    optional(
        "opensearch.url",
        Kind::Url,
        "no OpenSearch",
        "The OpenSearch cluster: `https://search.example.org:9200`.",
    ),
    optional("opensearch.user", Kind::Text, "no user", "User of OpenSearch."),
    optional("opensearch.password", Kind::Secret, "no password", "Its password."),
    optional(
        "opensearch.ca_file",
        Kind::Path,
        "what the system trusts",
        "PEM file of the authority that signed the certificate of OpenSearch.",
    ),
    key(
        "opensearch.prefix",
        Kind::Text,
        "millstream",
        "What the names of all indexes begin with: one for each installation that shares the cluster.",
    ),
    key(
        "opensearch.replicas",
        number(0, 20),
        "0",
        "Copies of each index beside the first: 1 on a cluster, so that a lost node loses nothing.",
    ),
    key(
        "opensearch.refresh_ms",
        number(100, 3_600_000),
        "1000",
        "How soon searches find what was delivered. By its id a document is read at once.",
    ),
    key("log.level", Kind::LogFilter, "info", "`error`, `warn`, `info`, `debug`, `trace`, or `target=level` pairs."),
    key("log.format", Kind::Choice(&["text", "json"]), "text", "How log lines on stderr are written."),
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
