//! The installation for measuring sinks: a durable PostgreSQL, a broker, a search node, and the documents to load.

use crate::failure::Failure;
use crate::process::{Launch, Process, check_loaded};
use millstream_search::SearchResource;
use millstream_store::connect::Session;
use millstream_testkit::corpus::{self, Document};
use millstream_testkit::{BrokerOptions, KafkaBroker, OpenSearchNode, TestCluster, World};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

const DATABASE: &str = "sinks";
const SINKS: &str = "MILLSTREAM_SINKS";
/// Number of concurrent requests during the load.
const CONNECTIONS: &str = "8";
/// Time limit for all copies to become complete.
const CATCH_UP: Duration = Duration::from_secs(900);
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Default name of the documents topic, and default prefix of the indexes.
pub(super) const TOPIC: &str = "edfi.documents.v1";
pub(super) const PREFIX: &str = "millstream";

/// The services and the documents.
pub(super) struct Installation {
    pub(super) kafka: KafkaBroker,
    pub(super) opensearch: OpenSearchNode,
    pub(super) world: &'static World,
    /// Description of the documents.
    pub(super) data: &'static str,
    pub(super) documents: usize,
    pub(super) folder: tempfile::TempDir,
    file: PathBuf,
    cluster: TestCluster,
}

/// Durations of a load.
pub(super) struct LoadTimes {
    /// From the first request to the last response.
    pub(super) load: Duration,
    /// From the last response until every copy was complete.
    pub(super) behind: Duration,
}

impl Installation {
    /// Starts the services and creates an empty database.
    pub(super) async fn create(small: bool) -> Result<Self, Failure> {
        let mut options = TestCluster::durable_options();
        for (name, value) in [("shared_buffers", "512MB"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "30min")] {
            options.settings.insert(name.to_owned(), value.to_owned());
        }
        let (cluster, kafka, opensearch) = tokio::join!(
            TestCluster::start(options),
            KafkaBroker::start(BrokerOptions::default()),
            OpenSearchNode::start()
        );
        let admin = Session::open(&cluster.connect_options("postgres")).await?;
        admin.batch_execute(&format!("CREATE DATABASE \"{DATABASE}\" TEMPLATE template0")).await?;
        let corpus = if small { None } else { World::corpus() };
        let (world, data, documents) = match corpus {
            Some(world) => {
                let all = world.corpus.documents()?.chain(world.corpus.volume()?);
                (world, "corpus with volume: DS 5.2 + TPDM + Sample", all.collect::<Result<Vec<_>, _>>()?)
            }
            None => {
                let world = World::fixtures();
                let mut all = Vec::new();
                for path in world.corpus.document_paths() {
                    all.extend(corpus::read(&path)?.collect::<Result<Vec<_>, _>>()?);
                }
                (world, "fixtures of the repository: too few documents for meaningful results", all)
            }
        };
        let folder = tempfile::Builder::new().prefix("millstream-bench-sinks").tempdir()?;
        let file = folder.path().join("documents.jsonl");
        write(&file, &documents)?;
        Ok(Self { kafka, opensearch, world, data, documents: documents.len(), folder, file, cluster })
    }

    /// Returns the launch settings for these sinks. Searches read the sink `search`.
    pub(super) fn launch(&self, sinks: &str, search: &str) -> Launch {
        Launch {
            world: self.world,
            database: self.cluster.connect_options(DATABASE),
            data_dir: self.folder.path().join("data"),
            log: self.folder.path().join("up.log"),
            settings: vec![
                (SINKS, sinks.to_owned()),
                ("MILLSTREAM_SEARCH_SINK", search.to_owned()),
                ("MILLSTREAM_KAFKA_BOOTSTRAP_SERVERS", self.kafka.bootstrap_servers()),
                ("MILLSTREAM_OPENSEARCH_URL", self.opensearch.url()),
            ],
        }
    }

    pub(super) async fn session(&self) -> Result<Session, Failure> {
        Ok(Session::open(&self.cluster.connect_options(DATABASE)).await?)
    }

    /// Loads all documents through the API and waits until every copy is complete.
    pub(super) async fn load(&self, launch: &Launch, up: &Process) -> Result<LoadTimes, Failure> {
        let url = format!("http://{}", up.address);
        let started = Instant::now();
        let mut command = launch.command(&["load", "--progress=none", "--connections", CONNECTIONS, "--url", &url])?;
        let output = command.arg(&self.file).output().await?;
        let load = started.elapsed();
        check_loaded(&output)?;
        let answered = Instant::now();
        wait_delivered(launch).await?;
        Ok(LoadTimes { load, behind: answered.elapsed() })
    }
}

/// Writes a file for `millstream load`.
fn write(file: &std::path::Path, documents: &[Document]) -> Result<(), Failure> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    for document in documents {
        let head = serde_json::json!({"project": document.project, "resource": document.resource}).to_string();
        out.write_all(head.trim_end_matches('}').as_bytes())?;
        out.write_all(b",\"body\":")?;
        out.write_all(document.body())?;
        out.write_all(b"}\n")?;
    }
    Ok(out.flush()?)
}

/// Waits until every sink has its lane, the cache is complete and all lanes are empty.
pub(super) async fn wait_delivered(launch: &Launch) -> Result<(), Failure> {
    let sinks = launch.settings.iter().find(|(name, _)| *name == SINKS);
    let lanes = sinks.map_or(0, |(_, sinks)| sinks.split(',').count());
    let until = Instant::now() + CATCH_UP;
    loop {
        let output = launch.command(&["status", "--json"])?.stderr(Stdio::null()).output().await?;
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if is_delivered(&status, lanes) {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(format!("not everything was delivered after {CATCH_UP:?}: {status}").into());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn is_delivered(status: &Value, lanes: usize) -> bool {
    let is_empty = |part: &Value| part["depth"] == 0 && part["replay"]["state"] != "running";
    let all = status["lanes"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    let is_caught_up = status["projector"]["cascade"]["open"] == 0 && status["projector"]["resync"]["running"] != true;
    all.len() == lanes && all.iter().all(is_empty) && is_empty(&status["projector"]["queue"]) && is_caught_up
}

/// Returns the part of an OpenSearch index name that identifies a resource type.
pub(super) fn index_stem(resource: &SearchResource) -> String {
    if resource.is_descriptor {
        return "descriptors".to_owned();
    }
    format!("{}.{}", resource.project_endpoint, resource.endpoint).to_ascii_lowercase()
}
