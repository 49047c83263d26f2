//! The roles of `docker/compose.yaml`, started with the commands and variables in that file, on real services. Only the
//! addresses differ, because the test runs without containers.

use crate::compose_file::{Compose, Service};
use crate::support::http::Http;
use crate::support::process::url;
use crate::support::{loaded, loading, report};
use millstream_testkit::{
    BrokerOptions, KafkaBroker, OpenSearchNode, TestCluster, TestDatabase, World, wait_for, wait_until,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Limit for a role to start or stop.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The services that the roles use.
struct Services {
    kafka: KafkaBroker,
    opensearch: OpenSearchNode,
    database: TestDatabase,
    folder: TempDir,
    schema_dir: PathBuf,
    _cluster: TestCluster,
}

/// A running role; dropping it kills the process.
struct Role {
    name: String,
    child: Child,
    http: Http,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_of_the_compose_file_work_together() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker/compose.yaml"));
    let compose = Compose::parse(&text.expect("docker/compose.yaml can be read")).expect("a compose file");
    let world = World::fixtures();
    let services = Services::start(world).await;
    // Services that run once come first: the others depend on them.
    for (name, service) in compose.millstream().filter(|(_, service)| service.ends()) {
        let output = services.run(name, service, service.command()).await;
        assert!(output.status.success(), "{name}: {output:?}");
    }
    let starting = compose.millstream().filter(|(_, service)| !service.ends());
    let mut roles = Vec::new();
    for (name, service) in starting {
        roles.push(services.start_role(name, service).await);
    }
    let named = |name: &str| roles.iter().find(|role| role.name == name).expect("a role with this name");
    let api = &named("api").http;

    // Until the process of the sink has added its lane, searches answer with an error that asks for a retry.
    wait_until("searches to succeed", TIMEOUT, || async { api.search("meadow/students", None).await.status == 200 })
        .await;
    loading::load(api, &world.mapping, &loaded::documents(world)).await;
    let body = json!({"studentUniqueId": "composed-1", "firstName": "Amara", "lastSurname": "Abara",
                      "birthData": {"birthDate": "2014-01-01"}});
    let reply = api.post("meadow/students", body.to_string()).await;
    assert!(reply.is_success(), "{reply:?}");
    // While the sink is behind the version, the answer asks for a retry.
    let found = wait_for("a search of the version", TIMEOUT, || async {
        let found = api.search("meadow/students?studentUniqueId=composed-1&totalCount=true", reply.etag).await;
        (found.status != 503).then_some(found)
    })
    .await;
    let result = (found.status, found.json()["totalCount"].clone());
    assert_eq!(result, (200, json!(1)), "{found:?}: {}", services.log("api"));
    assert_eq!(named("relay").http.get("meadow/students").await.status, 404, "only the api role serves documents");

    for (name, service) in compose.millstream().filter(|(_, service)| !service.ends()) {
        let check = service.healthcheck.as_ref().expect("every role has a health check");
        let output = services.run(name, service, &check.test[2..]).await;
        assert!(output.status.success(), "{name}: {output:?}");
    }
    services.verify(&compose).await;
    for role in roles {
        role.stop().await;
    }
}

impl Services {
    async fn start(world: &World) -> Self {
        let (cluster, kafka, opensearch) = tokio::join!(
            TestCluster::start(TestCluster::durable_options()),
            KafkaBroker::start(BrokerOptions::default()),
            OpenSearchNode::start(),
        );
        let database = TestDatabase::create_in(&cluster).await;
        let schema_dir = world.corpus.schema_dir();
        let folder = tempfile::tempdir().expect("a folder");
        Self { kafka, opensearch, database, folder, schema_dir, _cluster: cluster }
    }

    /// Builds a command with the variables of a service and the addresses of this test.
    fn command(&self, name: &str, service: &Service, words: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        let ours = service.environment.iter().filter(|(variable, _)| variable.starts_with("MILLSTREAM_"));
        command
            .args(words)
            .envs(ours)
            .env("MILLSTREAM_SCHEMA", &self.schema_dir)
            .env("MILLSTREAM_DATA_DIR", self.folder.path().join(name))
            .env("MILLSTREAM_DATABASE_URL", url(self.database.options()))
            .env("MILLSTREAM_KAFKA_BOOTSTRAP_SERVERS", self.kafka.bootstrap_servers())
            .env("MILLSTREAM_OPENSEARCH_URL", self.opensearch.url())
            .env("MILLSTREAM_API_LISTEN", "127.0.0.1:0")
            .kill_on_drop(true);
        command
    }

    async fn run(&self, name: &str, service: &Service, words: &[String]) -> Output {
        self.command(name, service, words).output().await.expect("the millstream binary starts")
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// Returns the log of a role.
    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.log_path(name)).unwrap_or_default()
    }

    /// Starts a role and waits until it reports ready.
    async fn start_role(&self, name: &str, service: &Service) -> Role {
        let log = File::create(self.log_path(name)).expect("a log file");
        let mut command = self.command(name, service, service.command());
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the millstream binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let ready = timeout(TIMEOUT, lines.next_line()).await;
        let ready = ready.unwrap_or_else(|_| panic!("{name} is not ready after {TIMEOUT:?}: {}", self.log(name)));
        let line = ready.expect("stdout is text").unwrap_or_else(|| panic!("{name} ended: {}", self.log(name)));
        let address = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .expect("the ready line contains the address");
        Role { name: name.to_owned(), child, http: Http::new(address) }
    }

    /// Runs `millstream verify` as `docker/README.md` shows: from a data folder without a running process.
    async fn verify(&self, compose: &Compose) {
        let (name, service) =
            compose.millstream().find(|(_, service)| service.ends()).expect("a service that runs once");
        let output = self.run(name, service, &["verify".to_owned()]).await;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.ends_with("differences: 0\n"), "{output:?}");
        assert!(text.contains("\nkafka: ") && text.contains("\nopensearch-g1: "), "{text}");
        report!("{text}");
    }
}

impl Role {
    /// Sends SIGTERM and waits for exit code 0.
    async fn stop(mut self) {
        let pid = self.child.id().unwrap_or_else(|| panic!("{} has ended by itself", self.name));
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM).expect("the process can be signalled");
        let status = timeout(TIMEOUT, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("{} is still running {TIMEOUT:?} after SIGTERM", self.name));
        assert!(status.expect("the exit status is available").success(), "{} failed", self.name);
    }
}
