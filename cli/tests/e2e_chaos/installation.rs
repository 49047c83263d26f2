//! An installation under test: a database behind a proxy, its processes, and their clients.

use crate::fault::certificate;
use crate::fault::disk::Disk;
use crate::layout::Layout;
use crate::services::Services;
use crate::support::process::{Process, Setup, run};
use crate::support::session;
use crate::traffic::Traffic;
use millstream_store::connect::{ConnectOptions, Session};
use millstream_testkit::{FaultProxy, HttpFaultProxy, TestCluster, World, wait_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const DATABASE: &str = "chaos";
/// Numbers the installations of a run: each has topics and indexes of its own.
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// The processes and what they depend on.
pub(crate) struct Installation {
    pub(crate) services: Arc<Services>,
    pub(crate) cluster: TestCluster,
    /// Between the processes and the database.
    pub(crate) proxy: FaultProxy,
    /// Between the processes and OpenSearch.
    pub(crate) search_proxy: Option<HttpFaultProxy>,
    pub(crate) processes: Vec<Supervised>,
    pub(crate) traffic: Traffic,
    pub(crate) disks: Vec<Disk>,
    /// A setup without a process, for commands.
    observer: Setup,
    pub(crate) folder: TempDir,
}

/// A process that is started again when it ends, as a service manager does.
pub(crate) struct Supervised {
    role: &'static [&'static str],
    pub(crate) setup: Setup,
    pub(crate) process: Option<Process>,
    environment: Vec<(String, String)>,
}

impl Installation {
    /// Starts an installation and posts the documents that its clients refer to.
    pub(crate) async fn new(layout: Layout, services: Arc<Services>) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = TestCluster::durable_options();
        options.settings.extend([("max_wal_size".to_owned(), "96MB".to_owned())]);
        let mut cluster = TestCluster::start(options).await;
        let server = cluster.create_database(DATABASE).await;
        let proxy = FaultProxy::start(cluster.address()).await;
        let mut database = server.with_address("127.0.0.1", proxy.address().port());
        if layout == Layout::Tls {
            database = certificate::enable(&cluster, &database, folder.path()).await;
        }
        let (flags, search_proxy) = flags(layout, number, &services).await;
        let setup = |name: &str| Setup {
            schema_dir: World::fixtures().corpus.schema_dir(),
            data_dir: folder.path().join(name),
            database: database.clone(),
            listen: "127.0.0.1:0".to_owned(),
            flags: flags.clone(),
        };
        let mut disks = Vec::new();
        if layout == Layout::SmallDisks {
            disks = Disk::all(&setup("up").data_dir, &mut cluster).await;
        }
        let environment =
            if layout == Layout::Clock { crate::fault::clock::environment(folder.path()) } else { Vec::new() };
        let supervised = |role: &'static [&'static str]| Supervised {
            role,
            setup: setup(&role.join("-")),
            process: None,
            environment: environment.clone(),
        };
        let mut processes: Vec<Supervised> = layout.roles().iter().map(|role| supervised(role)).collect();
        for process in &mut processes {
            process.start().await;
        }
        let api = processes.last().and_then(|last| last.process.as_ref()).expect("the last process has the API");
        let traffic = Traffic::begin(&api.http).await;
        let observer = setup("observer");
        Self { services, cluster, proxy, search_proxy, processes, traffic, disks, observer, folder }
    }

    /// Returns the options to reach the server without the proxy.
    pub(crate) fn direct(&self) -> ConnectOptions {
        direct(&self.cluster)
    }

    /// Opens a session without the proxy.
    pub(crate) async fn session(&self) -> Session {
        session::open(&self.direct()).await
    }

    /// Starts processes that ended by themselves; returns how many did.
    pub(crate) async fn supervise(&mut self) -> usize {
        let mut ended = 0;
        for process in &mut self.processes {
            if process.process.as_mut().is_none_or(|process| process.ended().is_some()) {
                ended += 1;
                process.start().await;
            }
        }
        ended
    }

    /// Waits until the process with the API is ready.
    pub(crate) async fn wait_ready(&self, limit: Duration) {
        let http = &self.api().http;
        wait_until("the API to be ready after the fault", limit, || http.is_ready()).await;
    }

    /// The process that serves the API.
    pub(crate) fn api(&self) -> &Process {
        self.processes.last().and_then(|last| last.process.as_ref()).expect("the API is running")
    }

    /// The process that rebuilds the cache.
    pub(crate) fn projector(&self) -> &Supervised {
        let found = self.processes.iter().find(|process| matches!(process.role, ["up" | "project"]));
        found.expect("each layout has a projector")
    }

    /// Runs a command that reads copies and the database: beside the only process, or as one of several.
    pub(crate) async fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let setup = if self.processes.len() == 1 { &self.processes[0].setup } else { &self.observer };
        run(setup, &[&["--log-level=error"], arguments].concat()).await
    }

    /// Returns the ends of all logs.
    pub(crate) fn logs(&self) -> String {
        let tail = |process: &Supervised| format!("--- {}\n{}", process.role.join(" "), process.setup.log_tail());
        self.processes.iter().map(tail).collect()
    }

    /// Kills the processes.
    pub(crate) async fn end(self) {
        for process in self.processes.into_iter().filter_map(|process| process.process) {
            process.kill().await;
        }
    }
}

impl Supervised {
    /// Starts the process, from the second time on at its address.
    pub(crate) async fn start(&mut self) {
        let variables = self.environment.clone();
        let process = Process::start_with(&self.setup, self.role, |command| {
            command.envs(variables);
        });
        let process = process.await;
        process.http.address().clone_into(&mut self.setup.listen);
        self.process = Some(process);
    }
}

/// Returns the options to reach the test's database in a cluster.
pub(crate) fn direct(cluster: &TestCluster) -> ConnectOptions {
    cluster.connect_options(DATABASE).with_application_name("chaos")
}

async fn flags(layout: Layout, number: usize, services: &Services) -> (Vec<String>, Option<HttpFaultProxy>) {
    let mut flags = layout.flags();
    if layout.uses_kafka() {
        flags.push(format!("--kafka-bootstrap-servers={}", services.kafka().await.bootstrap_servers()));
        flags.push(format!("--kafka-topic=chaos-{number}"));
        flags.push(format!("--queue-topic-prefix=chaos-queue-{number}"));
    }
    if !layout.uses_opensearch() {
        return (flags, None);
    }
    let proxy = HttpFaultProxy::start(services.opensearch().await.address()).await;
    flags.push(format!("--opensearch-url={}", proxy.url()));
    flags.push(format!("--opensearch-prefix=chaos-{number}"));
    (flags, Some(proxy))
}
