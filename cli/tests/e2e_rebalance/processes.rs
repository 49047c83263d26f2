//! The processes of one installation by role, and the services that they use.

use crate::support::process::{Process, Setup, run};
use crate::support::report;
use millstream_testkit::{BrokerOptions, KafkaBroker, OpenSearchNode, TestCluster, TestDatabase, World};
use serde_json::Value;
use std::collections::BTreeMap;
use tempfile::TempDir;

/// Session timeout: a process without heartbeats for this time loses its partitions.
pub(crate) const SESSION_TIMEOUT_MS: u64 = 6_000;

/// The running processes and services.
pub(crate) struct Processes {
    pub(crate) world: &'static World,
    pub(crate) kafka: KafkaBroker,
    pub(crate) opensearch: OpenSearchNode,
    pub(crate) database: TestDatabase,
    /// Processes by name: the role and a number.
    running: BTreeMap<String, Process>,
    folder: TempDir,
    _cluster: TestCluster,
}

impl Processes {
    /// Starts two relays, three projectors, both sinks and one API.
    pub(crate) async fn new() -> Self {
        let world = World::fixtures();
        let (cluster, kafka, opensearch) = tokio::join!(
            TestCluster::start(TestCluster::durable_options()),
            KafkaBroker::start(BrokerOptions { nodes: 3, ..BrokerOptions::default() }),
            OpenSearchNode::start(),
        );
        let database = TestDatabase::create_in(&cluster).await;
        let folder = tempfile::tempdir().expect("a folder");
        let running = BTreeMap::new();
        let mut processes = Self { world, kafka, opensearch, database, running, folder, _cluster: cluster };
        // The first relay creates the tables.
        for name in
            ["relay-1", "relay-2", "project-1", "project-2", "project-3", "sink kafka", "sink opensearch", "api"]
        {
            processes.start(name).await;
        }
        processes
    }

    /// Returns the setup of a process; each has its own data folder.
    pub(crate) fn setup(&self, name: &str) -> Setup {
        let flags = [
            "--queue-kind=kafka".to_owned(),
            format!("--queue-session-timeout-ms={SESSION_TIMEOUT_MS}"),
            format!("--kafka-bootstrap-servers={}", self.kafka.bootstrap_servers()),
            "--kafka-replication=3".to_owned(),
            "--kafka-in-sync-min=2".to_owned(),
            format!("--opensearch-url={}", self.opensearch.url()),
            "--cascade-strict-max=2".to_owned(),
            "--cascade-page=20".to_owned(),
        ];
        Setup {
            schema_dir: self.world.corpus.schema_dir(),
            data_dir: self.folder.path().join(name.replace(' ', "-")),
            database: self.database.options().clone(),
            listen: "127.0.0.1:0".to_owned(),
            flags: flags.to_vec(),
        }
    }

    /// Starts a process. The role is the name without the number.
    pub(crate) async fn start(&mut self, name: &str) {
        let role: Vec<&str> = name.trim_end_matches(|c: char| c == '-' || c.is_ascii_digit()).split(' ').collect();
        let up = Process::start_as(&self.setup(name), &role).await;
        self.running.insert(name.to_owned(), up);
    }

    pub(crate) fn process(&self, name: &str) -> &Process {
        self.running.get(name).unwrap_or_else(|| panic!("{name} is not running"))
    }

    pub(crate) fn take(&mut self, name: &str) -> Process {
        self.running.remove(name).unwrap_or_else(|| panic!("{name} is not running"))
    }

    /// Returns the relay that reads the outbox.
    pub(crate) async fn active_relay(&self) -> Option<&'static str> {
        for name in ["relay-1", "relay-2"] {
            let (code, text) = run(&self.setup(name), &["--log-level=error", "status", "--json"]).await;
            let status: Value = serde_json::from_str(&text).unwrap_or_default();
            if code == Some(0) && status["projector"]["source"]["connected"] == true {
                return Some(name);
            }
        }
        None
    }

    /// Checks that tables, cache and sinks agree once all processes are idle.
    pub(crate) async fn verify(&self) -> String {
        let (code, text) = run(&self.setup("observer"), &["--log-level=warn", "verify", "--wait-s=60"]).await;
        let logs = || {
            let names = self.running.keys();
            names.map(|name| format!("--- {name}\n{}", self.setup(name).log_tail())).collect::<String>()
        };
        assert!(code == Some(0) && text.contains("differences: 0\n"), "{code:?}: {text}\n{}", logs());
        for lane in ["kafka: ", "opensearch-g1: "] {
            assert!(text.contains(lane), "{lane} was not compared: {text}");
        }
        if text.contains("WARN") {
            report!("{text}");
        }
        text
    }
}
