//! Configuration: flags over environment over file over defaults, resolved once into one typed value.
//!
//! [`key::KEYS`] is the table of everything that can be set. [`Settings`] says which text is in force for each key and
//! where it came from; [`Config`] is the same, typed and checked. Commands get a [`Config`] and never look at the
//! environment themselves.

mod check;
mod error;
mod file;
pub mod key;
mod secret;
mod settings;
mod show;
mod source;

pub use error::ConfigErrors;
pub use secret::Secret;
pub use settings::{DEFAULT_FILE, Environment, FILE_VARIABLE, Flags, Origin, Setting, Settings};
pub use show::{reference, show};

use millstream_api::PublicUrl;
use millstream_connectors::source::topic::RecordForm;
use millstream_store::connect::ConnectOptions;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

/// Everything that is configured, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// ApiSchema files and folders of them.
    pub schema: Vec<PathBuf>,
    /// Folder for everything kept on this machine.
    pub data_dir: PathBuf,
    /// The database.
    pub database: Database,
    /// Where changes come from.
    pub source: Source,
    /// The durable queue.
    pub queue: Queue,
    /// The copies.
    pub sinks: Sinks,
    /// How long change records are kept.
    pub outbox_keep: Duration,
    /// How long deletes are remembered.
    pub tombstones_keep: Duration,
    /// The HTTP API.
    pub api: Api,
    /// Bounds of renames.
    pub renames: Renames,
    /// The projector.
    pub projector: Projector,
    /// How long a stop may take.
    pub shutdown_deadline: Duration,
    /// Log lines.
    pub log: Log,
}

/// The database.
#[derive(Debug, Clone)]
pub struct Database {
    /// Where it is; none means a managed cluster under the data folder. Its `Debug` masks the password.
    pub url: Option<ConnectOptions>,
    /// Pooled connections at most.
    pub pool_size: usize,
    /// Port of the managed cluster, 0 for a free one.
    pub managed_port: u16,
}

/// Where changes come from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Which way they come.
    pub kind: SourceKind,
    /// Name of the replication slot: ours, or that of whoever fills the topic.
    pub slot: String,
    /// Name of the publication.
    pub publication: String,
}

/// Which way changes come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// From the slot.
    Slot,
    /// From the table.
    Poll,
    /// From a topic that somebody else fills.
    Topic(Topic),
}

/// A topic of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// The consumer group that keeps our offsets.
    pub group: String,
    /// How its records are written.
    pub form: RecordForm,
}

/// The durable queue.
#[derive(Debug, Clone)]
pub struct Queue {
    /// It is in Kafka, shared by several processes.
    pub in_kafka: bool,
    /// What the names of its topics begin with.
    pub topic_prefix: String,
    /// Partitions of its topics.
    pub partitions: u32,
    /// A process that is silent for so long loses its work.
    pub session_timeout: Duration,
    /// Its folder.
    pub dir: PathBuf,
    /// Memory for caching.
    pub cache_bytes: u64,
    /// Failed attempts at one document before quarantine.
    pub attempts_max: u32,
}

/// The copies that are kept of all documents.
#[derive(Debug, Clone)]
pub struct Sinks {
    /// Those kept from the start on.
    pub wanted: Vec<String>,
    /// The documents topic, if there are brokers for it.
    pub kafka: Option<Kafka>,
    /// The embedded search index.
    pub embedded: Embedded,
    /// The sink that answers searches; none for the first that can.
    pub engine: Option<String>,
    /// OpenSearch, if there is a cluster.
    pub opensearch: Option<OpenSearch>,
}

/// The documents topic.
#[derive(Debug, Clone)]
pub struct Kafka {
    /// `host:port,host:port`.
    pub bootstrap_servers: String,
    /// Name of the topic.
    pub topic: String,
    /// Partitions of a topic that has to be made.
    pub partitions: u32,
    /// Copies of each partition.
    pub replication: u32,
    /// Copies that have to have a record.
    pub in_sync_min: u32,
    /// The largest record.
    pub record_bytes_max: usize,
    /// More properties of the client. Their values are secret.
    pub properties: BTreeMap<String, Secret>,
}

/// The embedded search index.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// Its folder.
    pub dir: PathBuf,
    /// Memory of its writer.
    pub heap_bytes: usize,
}

impl Kafka {
    /// The properties with their values. Never print them.
    pub fn exposed_properties(&self) -> BTreeMap<String, String> {
        self.properties.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
    }
}

/// OpenSearch.
#[derive(Debug, Clone)]
pub struct OpenSearch {
    /// Address of the cluster.
    pub url: String,
    /// User and password.
    pub user: Option<(String, Secret)>,
    /// PEM file of the authority of its certificate.
    pub ca_file: Option<PathBuf>,
    /// What the names of all indexes begin with.
    pub prefix: String,
    /// Copies of each index beside the first.
    pub replicas: u32,
    /// How soon searches find what was delivered.
    pub refresh: Duration,
}

/// The HTTP API.
#[derive(Debug, Clone)]
pub struct Api {
    /// Where it listens: always loopback.
    pub listen: SocketAddr,
    /// How clients reach it.
    pub public_url: Option<PublicUrl>,
    /// Largest request body.
    pub body_limit_bytes: usize,
    /// Longest request.
    pub request_timeout: Duration,
    /// Requests worked on at a time.
    pub requests_max: usize,
    /// Open connections.
    pub connections_max: usize,
    /// `limit` of a query that gives none.
    pub page_limit: u32,
    /// Largest `limit` of a query.
    pub page_limit_max: u32,
}

/// Bounds of renames.
#[derive(Debug, Clone)]
pub struct Renames {
    /// Documents in one identity closure at most.
    pub closure_max: usize,
    /// Levels of it at most.
    pub closure_depth_max: usize,
    /// Referrers outside it that the rename stamps itself.
    pub strict_max: usize,
}

/// The projector.
#[derive(Debug, Clone)]
pub struct Projector {
    /// Documents of one rebuild.
    pub batch: usize,
    /// Rebuilds in flight.
    pub workers: usize,
    /// Referrers that one transaction of a cascade looks at.
    pub cascade_page: usize,
    /// Cascades at the same time.
    pub cascade_workers: usize,
}

/// Log lines.
#[derive(Debug, Clone)]
pub struct Log {
    /// The filter.
    pub filter: String,
    /// Whether lines are JSON objects.
    pub json: bool,
}

impl Config {
    /// Types and checks what is in force, naming every problem at once.
    pub fn resolve(settings: &Settings) -> Result<Self, ConfigErrors> {
        let mut check = check::Check::new(settings);
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
                managed_port: check.number("database.managed_port"),
            },
            source: check.source(),
            sinks: Sinks {
                wanted: check.words("sinks"),
                kafka: check.kafka(),
                embedded: Embedded {
                    dir: embedded_dir,
                    heap_bytes: check.number::<usize>("embedded.heap_mib") * 1024 * 1024,
                },
                engine: Some(check.choice("search.sink")).filter(|engine| engine != "auto"),
                opensearch: check.opensearch(),
            },
            outbox_keep: Duration::from_secs(check.number::<u64>("outbox.keep_hours") * 3_600),
            tombstones_keep: Duration::from_secs(check.number::<u64>("retention.tombstone_days") * 24 * 3_600),
            queue: Queue {
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
                request_timeout: check.millis("api.request_timeout_ms"),
                requests_max: check.number("api.requests_max"),
                connections_max: check.number("api.connections_max"),
                page_limit: check.number("api.page_limit"),
                page_limit_max: check.number("api.page_limit_max"),
            },
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
            shutdown_deadline: check.millis("shutdown.deadline_ms"),
            log: Log { filter: check.log_filter("log.level"), json: check.choice("log.format") == "json" },
        };
        check.conclude(config)
    }

    /// The schema files, or what to do when none is named.
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
