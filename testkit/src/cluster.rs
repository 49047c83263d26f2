//! A PostgreSQL cluster for one test process.
//!
//! It must not outlive the process, however that ends: tests panic, are interrupted, and are killed, and a static is
//! never dropped. So a shell waits beside it, reading from a pipe whose other end only this process holds. The kernel
//! closes that end when the process is gone for whatever reason, the shell reads end-of-file, quits the server and
//! removes the folder. Unlike a parent-death signal this needs no unsafe code and does not depend on which thread
//! started the server.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use millstream_store::{
    cluster::{ClusterOptions, ManagedCluster},
    connect::ConnectOptions,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::sync::OnceCell;

use crate::wait::wait_until;

/// How long a killed server may take to end.
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// Waits for end-of-file, then quits whatever server runs in the folder `$1` and removes the folder.
const WATCHDOG: &str = r#"
read -r _
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    pid=
    { read -r pid < "$1/data/postmaster.pid"; } 2>/dev/null
    [ -n "$pid" ] && kill -QUIT "$pid" 2>/dev/null || break
    sleep 0.1
done
# An initdb that is still at work may put a file back.
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    rm -rf "$1" 2>/dev/null && sleep 0.1 && [ ! -e "$1" ] && break
    sleep 0.1
done
"#;

/// A private cluster in a temporary folder.
#[derive(Debug)]
pub struct TestCluster {
    managed: Option<ManagedCluster>,
    options: ClusterOptions,
    directory: PathBuf,
    // Its standard input is the pipe that tells it of our end.
    _watchdog: Child,
}

impl TestCluster {
    /// The cluster that all tests of this process share. Commits in it do not survive a crash of the machine.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<TestCluster> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start(Self::fast_options())).await
    }

    /// Options for a cluster that is quick rather than safe, with room for many tests at a time.
    pub fn fast_options() -> ClusterOptions {
        ClusterOptions { durable: false, ..Self::durable_options() }
    }

    /// Options for a cluster that keeps its promises through a crash.
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

    /// Starts a cluster of its own, for tests that stop or crash it.
    pub async fn start(options: ClusterOptions) -> Self {
        let directory = temporary_folder();
        let watchdog = watch(&directory);
        let managed = ManagedCluster::start(&directory, options.clone()).await;
        let managed = managed.unwrap_or_else(|error| panic!("the test cluster did not start: {error}"));
        Self { managed: Some(managed), options, directory, _watchdog: watchdog }
    }

    fn managed(&self) -> &ManagedCluster {
        self.managed.as_ref().expect("the test cluster is running")
    }

    /// How to connect to a database of it, as its superuser.
    pub fn connect_options(&self, dbname: &str) -> ConnectOptions {
        self.managed().connect_options(dbname)
    }

    /// Process id of the server.
    pub fn pid(&self) -> u32 {
        self.managed().pid()
    }

    /// The folder with everything of it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Stops it in order and starts it again, on the same port.
    pub async fn restart(&mut self) {
        let managed = self.managed.take().expect("the test cluster is running");
        managed.stop(Duration::from_secs(30)).await.expect("the test cluster stops");
        self.start_again().await;
    }

    /// Kills the server as a power cut would and starts it again, on the same port; it recovers from its log.
    pub async fn crash_and_restart(&mut self) {
        let mut managed = self.managed.take().expect("the test cluster is running");
        let pid = Pid::from_raw(managed.pid().cast_signed());
        kill(pid, Signal::SIGKILL).expect("the server can be killed");
        // Until it has been waited for, its process id is in use, and a new server takes that for the old one.
        wait_until("the killed server to end", GONE_WITHIN, || std::future::ready(managed.exit_reason().is_some()))
            .await;
        drop(managed);
        self.start_again().await;
    }

    async fn start_again(&mut self) {
        let managed = ManagedCluster::start(&self.directory, self.options.clone()).await;
        self.managed = Some(managed.unwrap_or_else(|error| panic!("the test cluster did not come back: {error}")));
    }
}

/// A new folder that the server's account may enter. The watchdog removes it.
fn temporary_folder() -> PathBuf {
    let folder = tempfile::Builder::new().prefix("millstream-test-").tempdir().expect("a temporary folder").keep();
    fs::set_permissions(&folder, Permissions::from_mode(0o711)).expect("the temporary folder can be opened up");
    folder
}

/// Starts the watchdog for a folder: a process group of its own, so that a Ctrl-C for us leaves it to do its work.
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
