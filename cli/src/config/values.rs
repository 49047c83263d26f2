//! The typed configuration.

use super::secret::Secret;
use crate::sink_kind::SinkKind;
use millstream_api::PublicUrl;
use millstream_connectors::source::topic::RecordForm;
use millstream_projector::watchdog::WatchdogOptions;
use millstream_store::connect::ConnectOptions;
use millstream_writer::BatchOptions;
use reqwest::Url;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// ApiSchema files and folders of them.
    pub schema: Vec<PathBuf>,
    /// Folder for all data on this machine.
    pub data_dir: PathBuf,
    /// The database.
    pub database: Database,
    /// Bytes of documents in memory at most.
    pub memory_bytes: usize,
    /// The source of changes.
    pub source: Source,
    /// The durable queue.
    pub queue: QueueSettings,
    /// The sinks.
    pub sinks: SinkSettings,
    /// Least age of change records that are removed.
    pub outbox_keep: Duration,
    /// Least age of tombstones that are removed.
    pub tombstones_keep: Duration,
    /// The HTTP API.
    pub api: Api,
    /// How writes share transactions; `None` if each has its own.
    pub batching: Option<BatchOptions>,
    /// Limits of renames.
    pub renames: Renames,
    /// The projector.
    pub projector: Projector,
    /// The consistency watchdog.
    pub watchdog: WatchdogOptions,
    /// Longest wait for work in flight at a stop.
    pub shutdown_deadline: Duration,
    /// Log lines.
    pub log: Log,
    /// Export of spans.
    pub telemetry: Telemetry,
}

/// The database.
#[derive(Debug, Clone)]
pub struct Database {
    /// Its address; `None` for a managed cluster in the data folder. `Debug` masks the password.
    pub url: Option<ConnectOptions>,
    /// Pooled connections at most, of all pools together.
    pub pool_size: usize,
    /// Longest wait of a write for a lock.
    pub lock_timeout: Duration,
    /// Port of the managed cluster; 0 for a free one.
    pub managed_port: u16,
}

/// The source of changes.
#[derive(Debug, Clone)]
pub struct Source {
    /// The kind of the source.
    pub kind: SourceKind,
    /// Name of the replication slot: that of this installation, or of the connector that fills the topic.
    pub slot: String,
    /// Name of the publication.
    pub publication: String,
}

/// The kind of the source of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// Logical replication through a slot.
    Slot,
    /// Polling of the outbox table.
    Poll,
    /// A Kafka topic that another process fills.
    Topic(Topic),
}

/// A topic of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// The consumer group that stores the offsets.
    pub group: String,
    /// The format of its records.
    pub form: RecordForm,
}

/// The durable queue.
#[derive(Debug, Clone)]
pub struct QueueSettings {
    /// Whether it is in Kafka, shared by several processes.
    pub in_kafka: bool,
    /// Prefix of the names of its topics.
    pub topic_prefix: String,
    /// Partitions of its topics.
    pub partitions: u32,
    /// Silence after which a process loses its partitions to the others.
    pub session_timeout: Duration,
    /// Its folder on local disk.
    pub dir: PathBuf,
    /// Memory for blocks read from disk.
    pub cache_bytes: u64,
    /// Failed attempts at one document before its quarantine.
    pub attempts_max: u32,
}

/// The sinks.
#[derive(Debug, Clone)]
pub struct SinkSettings {
    /// The sinks to add at the start.
    pub wanted: Vec<SinkKind>,
    /// Kafka, if brokers are configured.
    pub kafka: Option<Kafka>,
    /// The embedded search index.
    pub embedded: Embedded,
    /// The sink that answers searches; `None` for the first that can.
    pub engine: Option<SinkKind>,
    /// OpenSearch, if it is configured.
    pub opensearch: Option<OpenSearch>,
}

/// Kafka brokers and the documents topic.
#[derive(Debug, Clone)]
pub struct Kafka {
    /// `host:port,host:port`.
    pub bootstrap_servers: String,
    /// Name of the documents topic.
    pub topic: String,
    /// Partitions of a topic that has to be created.
    pub partitions: u32,
    /// Replicas of each partition.
    pub replication: u32,
    /// In-sync replicas that have to have a record.
    pub in_sync_min: u32,
    /// The largest record.
    pub record_bytes_max: usize,
    /// Further properties of the client. Their values are secret.
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
    /// Returns the properties with their values, which must not be printed.
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
    /// Prefix of the names of all indexes.
    pub prefix: String,
    /// Replicas of each index.
    pub replicas: u32,
    /// Interval after which searches find delivered documents.
    pub refresh: Duration,
}

/// The HTTP API.
#[derive(Debug, Clone)]
pub struct Api {
    /// Address that it listens on: always loopback.
    pub listen: SocketAddr,
    /// Address that clients use.
    pub public_url: Option<PublicUrl>,
    /// Largest request body.
    pub body_limit_bytes: usize,
    /// Memory of all large request bodies.
    pub bodies_limit_bytes: usize,
    /// Longest request.
    pub request_timeout: Duration,
    /// Requests served at the same time.
    pub requests_max: usize,
    /// Connections with a request for documents in progress.
    pub connections_max: usize,
    /// `limit` of a query without one.
    pub page_limit: u32,
    /// Largest `limit` of a query.
    pub page_limit_max: u32,
}

/// Limits of renames.
#[derive(Debug, Clone)]
pub struct Renames {
    /// Documents in one identity closure at most.
    pub closure_max: usize,
    /// Levels of an identity closure at most.
    pub closure_depth_max: usize,
    /// Referrers outside the closure that the rename stamps in its own transaction.
    pub strict_max: usize,
}

/// The projector.
#[derive(Debug, Clone)]
pub struct Projector {
    /// Documents per rebuild batch.
    pub batch: usize,
    /// Rebuild batches at the same time.
    pub workers: usize,
    /// Referrers per transaction of a cascade.
    pub cascade_page: usize,
    /// Cascades processed at the same time.
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

/// Export of spans.
#[derive(Debug, Clone, Default)]
pub struct Telemetry {
    /// Base URL of an OpenTelemetry collector; `None` for no export.
    pub otlp_endpoint: Option<Url>,
}
