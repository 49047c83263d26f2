//! A PostgreSQL cluster for one test process.
//!
//! The cluster must not outlive the process, however that ends: tests panic, are interrupted and are killed, and a
//! static is never dropped. So a shell waits beside it and reads from a pipe whose other end only this process holds.
//! The kernel closes that end when the process ends for any reason; the shell reads end-of-file, quits the server and
//! removes the directory. Unlike a parent-death signal this needs no unsafe code and does not depend on the thread that
//! started the server.

use std::{
    fs::{self, Permissions},
    net::{Ipv4Addr, SocketAddr},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use millstream_store::{
    cluster::{ClusterOptions, ManagedCluster},
    connect::{ConnectOptions, Session},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::sync::OnceCell;

use crate::wait::wait_until;

/// Time limit for the end of a killed server.
const EXIT_DEADLINE: Duration = Duration::from_secs(30);

/// Waits for end-of-file, then quits the server in the directory `$1` and removes the directory.
const WATCHDOG: &str = r#"
read -r _
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    pid=
    { read -r pid < "$1/data/postmaster.pid"; } 2>/dev/null
    [ -n "$pid" ] && kill -QUIT "$pid" 2>/dev/null || break
    sleep 0.1
done
# An initdb that is still running may create files again.
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    rm -rf "$1" 2>/dev/null && sleep 0.1 && [ ! -e "$1" ] && break
    sleep 0.1
done
"#;

/// A private cluster in a temporary directory.
#[derive(Debug)]
pub struct TestCluster {
    pub(crate) managed: Option<ManagedCluster>,
    pub(crate) options: ClusterOptions,
    pub(crate) directory: PathBuf,
    // Its standard input is the pipe that closes when this process ends.
    pub(crate) _watchdog: Child,
}

impl TestCluster {
    /// Returns the cluster that all tests of this process share. Its commits do not survive a crash of the machine.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<TestCluster> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start(Self::fast_options())).await
    }

    /// Returns options for a fast cluster without durability, for many concurrent tests.
    pub fn fast_options() -> ClusterOptions {
        ClusterOptions { durable: false, ..Self::durable_options() }
    }

    /// Returns options for a durable cluster.
    pub fn durable_options() -> ClusterOptions {
        let settings = [
            ("max_connections", "200"),
            ("max_replication_slots", "64"),
            ("max_wal_senders", "64"),
            ("max_wal_size", "2GB"),
            ("wal_sender_timeout", "60s"),
        ];
        ClusterOptions {
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..ClusterOptions::default()
        }
    }

    /// Starts a separate cluster, for tests that stop or crash it.
    pub async fn start(options: ClusterOptions) -> Self {
        let directory = temporary_directory();
        let watchdog = watch(&directory);
        let managed = ManagedCluster::start(&directory, options.clone()).await;
        let managed = managed.unwrap_or_else(|error| panic!("the test cluster did not start: {error}"));
        Self { managed: Some(managed), options, directory, _watchdog: watchdog }
    }

    fn managed(&self) -> &ManagedCluster {
        self.managed.as_ref().expect("the test cluster is running")
    }

    /// Returns options to connect to a database of the cluster as its superuser.
    pub fn connect_options(&self, dbname: &str) -> ConnectOptions {
        self.managed().connect_options(dbname)
    }

    /// Creates an empty database in UTF-8; returns the options to connect to it. It lives as long as the cluster.
    pub async fn create_database(&self, name: &str) -> ConnectOptions {
        let create = format!("CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'");
        let created = self.admin().await.batch_execute(&create).await;
        created.unwrap_or_else(|error| panic!("database {name} cannot be created: {error:?}"));
        self.connect_options(name)
    }

    /// Opens a session of the superuser.
    pub(crate) async fn admin(&self) -> Session {
        Session::open(&self.connect_options("postgres")).await.expect("the test cluster accepts connections")
    }

    /// Returns the process id of the server.
    pub fn pid(&self) -> u32 {
        self.managed().pid()
    }

    /// Returns the address of the server.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.managed().port()))
    }

    /// Returns the directory with all files of the cluster.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Stops the server cleanly and starts it again on the same port.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Stops the server cleanly.
    pub async fn stop(&mut self) {
        let managed = self.managed.take().expect("the test cluster is running");
        managed.stop(Duration::from_secs(30)).await.expect("the test cluster stops");
    }

    /// Kills the server, like a power failure, and starts it again on the same port; it recovers from its WAL.
    pub async fn crash_and_restart(&mut self) {
        self.crash().await;
        self.start_again().await;
    }

    /// Kills the server, like a power failure. Does nothing if it has ended.
    pub async fn crash(&mut self) {
        let Some(mut managed) = self.managed.take() else { return };
        if managed.exit_reason().is_some() {
            return;
        }
        let pid = Pid::from_raw(managed.pid().cast_signed());
        kill(pid, Signal::SIGKILL).expect("the server can be killed");
        // Until the process is reaped its id is in use, and a new server would take it for the old one.
        wait_until("the killed server to end", EXIT_DEADLINE, || std::future::ready(managed.exit_reason().is_some()))
            .await;
    }

    /// Starts the stopped or crashed server again on its port.
    pub async fn start_again(&mut self) {
        let managed = ManagedCluster::start(&self.directory, self.options.clone()).await;
        self.managed = Some(managed.unwrap_or_else(|error| panic!("the test cluster did not restart: {error}")));
    }
}

/// Creates a directory that the server's account may enter. The watchdog removes it.
pub(crate) fn temporary_directory() -> PathBuf {
    let directory =
        tempfile::Builder::new().prefix("millstream-test-").tempdir().expect("a temporary directory").keep();
    fs::set_permissions(&directory, Permissions::from_mode(0o711)).expect("the directory's mode can be set");
    directory
}

/// Starts the watchdog for a directory, in its own process group, so that a Ctrl-C does not stop it.
pub fn watch(directory: &Path) -> Child {
    Command::new("sh")
        .args(["-c", WATCHDOG, "watchdog"])
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("sh runs")
}
