//! The roles of `docker/compose.yaml`, started with the commands and the variables that stand there, on real services:
//! only addresses are others, as there are no containers here.

use crate::compose_file::{Compose, Service};
use crate::support::child::url;
use crate::support::http::Http;
use crate::support::{loaded, loading, say};
use millstream_testkit::{BrokerOptions, KafkaBroker, OpenSearchNode, TestCluster, TestDatabase, World, wait_until};
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

/// How long a role may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// What stands around the roles.
struct Services {
    kafka: KafkaBroker,
    opensearch: OpenSearchNode,
    database: TestDatabase,
    folder: TempDir,
    schema_dir: PathBuf,
    _cluster: TestCluster,
}

/// A role that runs. It is killed when dropped.
struct Role {
    name: String,
    process: Child,
    http: Http,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_of_the_compose_file_work_together() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker/compose.yaml"));
    let compose = Compose::parse(&text.expect("docker/compose.yaml can be read")).expect("it is a compose file");
    let world = World::fixtures();
    let services = Services::start(world).await;
    // What ends comes first: everything else waits for it.
    for (name, service) in compose.millstream().filter(|(_, service)| service.ends()) {
        let output = services.run(name, service, service.command()).await;
        assert!(output.status.success(), "{name}: {output:?}");
    }
    let starting = compose.millstream().filter(|(_, service)| !service.ends());
    let mut roles = Vec::new();
    for (name, service) in starting {
        roles.push(services.start_role(name, service).await);
    }
    let named = |name: &str| roles.iter().find(|role| role.name == name).expect("it is one of the roles");
    let api = &named("api").http;

    // Until the sink's process has added its lane there is nothing to search in, and the answer says to try again.
    wait_until("a sink that answers searches", PATIENCE, || async {
        api.search("meadow/students", None).await.status == 200
    })
    .await;
    loading::load(api, &world.mapping, &loaded::documents(world)).await;
    let body = json!({"studentUniqueId": "composed-1", "firstName": "Amara", "lastSurname": "Abara",
                      "birthData": {"birthDate": "2014-01-01"}});
    let reply = api.post("meadow/students", body.to_string()).await;
    assert!(reply.is_success(), "{reply:?}");
    let found = api.search("meadow/students?studentUniqueId=composed-1&totalCount=true", reply.etag).await;
    let told = (found.status, found.json()["totalCount"].clone());
    assert_eq!(told, (200, json!(1)), "{found:?}: {}", services.log("api"));
    assert_eq!(named("relay").http.get("meadow/students").await.status, 404, "only the api has documents");

    for (name, service) in compose.millstream().filter(|(_, service)| !service.ends()) {
        let check = service.healthcheck.as_ref().expect("every role has one");
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
        let file = world.corpus.schema_paths().into_iter().next().expect("a schema file");
        let schema_dir = file.parent().expect("a folder").to_owned();
        let folder = tempfile::tempdir().expect("a folder");
        Self { kafka, opensearch, database, folder, schema_dir, _cluster: cluster }
    }

    /// Millstream with the variables of a service, each address replaced by a real one.
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
        self.command(name, service, words).output().await.expect("millstream can be started")
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// What a role has logged.
    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.log_path(name)).unwrap_or_default()
    }

    /// Starts a role and waits until it says that it is ready.
    async fn start_role(&self, name: &str, service: &Service) -> Role {
        let log = File::create(self.log_path(name)).expect("a log file");
        let mut command = self.command(name, service, service.command());
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().expect("millstream can be started");
        let mut lines = BufReader::new(process.stdout.take().expect("its output is piped")).lines();
        let ready = timeout(PATIENCE, lines.next_line()).await;
        let ready = ready.unwrap_or_else(|_| panic!("{name} is not ready after {PATIENCE:?}: {}", self.log(name)));
        let line = ready.expect("its output is text").unwrap_or_else(|| panic!("{name} ended: {}", self.log(name)));
        let address = line.split_whitespace().find(|word| word.starts_with("http://")).expect("it says where");
        Role { name: name.to_owned(), process, http: Http::new(address) }
    }

    /// As `docker/README.md` says it: from a folder in which nothing runs.
    async fn verify(&self, compose: &Compose) {
        let (name, service) = compose.millstream().find(|(_, service)| service.ends()).expect("there is one");
        let output = self.run(name, service, &["verify".to_owned()]).await;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.ends_with("differences: 0\n"), "{output:?}");
        assert!(text.contains("\nkafka: ") && text.contains("\nopensearch-g1: "), "{text}");
        say!("{text}");
    }
}

impl Role {
    /// SIGTERM, and waits for exit code 0.
    async fn stop(mut self) {
        let pid = self.process.id().unwrap_or_else(|| panic!("{} has ended by itself", self.name));
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM).expect("it can be told to stop");
        let status = timeout(PATIENCE, self.process.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("{} is still there after {PATIENCE:?}", self.name));
        assert!(status.expect("it can be waited for").success(), "{} did not end well", self.name);
    }
}
