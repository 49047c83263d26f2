//! The installation under test: a database, a Kafka broker, an OpenSearch node, and `millstream up` with three sinks.

use crate::support::process::{Process, Setup, run};
use crate::support::report;
use millstream_testkit::{
    BrokerOptions, KafkaBroker, OpenSearchNode, TestCluster, TestDatabase, World, wait_for, wait_until,
};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Time limit for all lanes to become empty after the last outage.
pub(crate) const CATCH_UP: Duration = Duration::from_secs(600);

/// The services and the setup of one test.
pub(crate) struct Installation {
    pub(crate) kafka: KafkaBroker,
    pub(crate) opensearch: OpenSearchNode,
    pub(crate) setup: Setup,
    pub(crate) folder: TempDir,
    pub(crate) database: TestDatabase,
    pub(crate) cluster: TestCluster,
}

impl Installation {
    /// Starts the services and `millstream up`. Later starts with this setup listen on the same address.
    pub(crate) async fn new(world: &'static World, flags: &[&str]) -> (Self, Process) {
        let (cluster, kafka, opensearch) = tokio::join!(
            TestCluster::start(TestCluster::durable_options()),
            KafkaBroker::start(BrokerOptions::default()),
            OpenSearchNode::start(),
        );
        let database = TestDatabase::create_in(&cluster).await;
        let folder = tempfile::tempdir().expect("a folder");
        let mut all: Vec<String> = vec![
            "--sinks=kafka,opensearch,embedded".to_owned(),
            format!("--kafka-bootstrap-servers={}", kafka.bootstrap_servers()),
            format!("--opensearch-url={}", opensearch.url()),
        ];
        all.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let mut setup = Setup {
            schema_dir: world.corpus.schema_dir(),
            data_dir: folder.path().join("data"),
            database: database.options().clone(),
            listen: "127.0.0.1:0".to_owned(),
            flags: all,
        };
        let up = Process::start(&setup).await;
        up.http.address().clone_into(&mut setup.listen);
        let installation = Self { kafka, opensearch, setup, folder, database, cluster };
        installation.wait_lanes(3).await;
        (installation, up)
    }

    /// Runs a command, which must end with this exit code; returns its output.
    pub(crate) async fn command(&self, code: i32, arguments: &[&str]) -> String {
        let (found, text) = run(&self.setup, arguments).await;
        assert_eq!(found, Some(code), "{arguments:?}: {text}\n{}", self.setup.log_tail());
        text
    }

    /// Returns the status of the running process; null if it cannot be read.
    pub(crate) async fn status(&self) -> Value {
        let (code, text) = run(&self.setup, &["status", "--json", "--log-level=error"]).await;
        if code == Some(0) { serde_json::from_str(&text).expect("JSON") } else { Value::Null }
    }

    /// Returns the status of all lanes.
    pub(crate) async fn lanes(&self) -> Vec<Value> {
        self.status().await["lanes"].as_array().cloned().unwrap_or_default()
    }

    pub(crate) async fn wait_lanes(&self, count: usize) {
        wait_until("every configured sink to have its lane", CATCH_UP, || async { self.lanes().await.len() == count })
            .await;
    }

    /// Waits until the cache is complete, every lane is empty and no cascade is open.
    pub(crate) async fn wait_delivered(&self) {
        wait_until("everything to be delivered", CATCH_UP, || async {
            let status = self.status().await;
            let empty = |part: &Value| part["depth"] == 0 && part["replay"]["state"] != "running";
            let lanes = status["lanes"].as_array().cloned().unwrap_or_default();
            let done = !lanes.is_empty() && lanes.iter().all(empty) && empty(&status["projector"]["queue"]);
            done && status["projector"]["cascade"]["open"] == 0
        })
        .await;
    }

    /// Runs `millstream verify`, which must find no difference in tables, cache and sinks.
    pub(crate) async fn verify(&self) {
        let text = self.command(0, &["verify"]).await;
        assert!(text.lines().any(|line| line == "differences: 0"), "{text}");
        for lane in ["kafka: ", "opensearch-g", "embedded-g"] {
            assert!(text.contains(lane), "{lane} was not compared: {text}");
        }
        report!("{text}");
    }

    /// Deletes a document in OpenSearch directly, so that the sink lacks it.
    pub(crate) async fn lose(&self, id: &str, version: i64) {
        let client = millstream_testkit::http_client().build().expect("a client");
        let url = format!("{}/millstream.read.*/_search", self.opensearch.url());
        let query = json!({"query": {"ids": {"values": [id]}}}).to_string();
        let index = wait_for("the document to be found", Duration::from_secs(30), || async {
            let found = client.post(&url).header("content-type", "application/json").body(query.clone());
            let found = found.send().await.expect("a response").text().await.expect("a text");
            let found: Value = serde_json::from_str(&found).expect("JSON");
            found["hits"]["hits"][0]["_index"].as_str().map(str::to_owned)
        })
        .await;
        // Deletes at the version of the document, as a restored snapshot would. A delete with a newer version would
        // outrank the source, and only a new generation could repair it.
        let parameters = format!("refresh=true&version={version}&version_type=external_gte");
        let document = format!("{}/{index}/_doc/{id}?{parameters}", self.opensearch.url());
        let deleted = client.delete(&document).send().await.expect("a response");
        assert!(deleted.status().is_success(), "{deleted:?}");
    }

    /// Writes a file for `millstream load`.
    pub(crate) fn write(&self, name: &str, documents: &[millstream_testkit::corpus::Document]) -> PathBuf {
        let mut text = String::new();
        for document in documents {
            let body = String::from_utf8_lossy(document.body());
            let (project, resource) = (&document.project, &document.resource);
            writeln!(text, r#"{{"resource": "{resource}", "project": "{project}", "body": {body}}}"#).expect("a text");
        }
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("the file can be written");
        path
    }

    /// Loads a file through the API. Requests are retried while the process restarts.
    pub(crate) async fn load(&self, file: &Path) -> String {
        let file = file.to_str().expect("a path");
        let url = format!("http://{}", self.setup.listen);
        self.command(0, &["load", "--url", &url, "--connections=8", "--patience-s=120", "--progress=none", file]).await
    }
}
