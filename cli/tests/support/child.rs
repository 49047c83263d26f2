//! `millstream up` as a process of its own, to be killed.

use super::http::Http;
use millstream_store::connect::ConnectOptions;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// How long a start may take.
const START: Duration = Duration::from_secs(60);
/// How long an orderly stop may take.
const STOP: Duration = Duration::from_secs(60);

/// What a process runs on.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) schema_dir: PathBuf,
    pub(crate) data_dir: PathBuf,
    pub(crate) database: ConnectOptions,
    /// Where it listens; port 0 is any.
    pub(crate) listen: String,
    /// Further flags.
    pub(crate) flags: Vec<String>,
}

impl Setup {
    fn log(&self) -> PathBuf {
        self.data_dir.with_extension("log")
    }

    /// The end of what the processes on this setup have logged.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log())
    }
}

/// A running process. It is killed when dropped.
pub(crate) struct Up {
    process: Child,
    pub(crate) http: Http,
    log: PathBuf,
    _lines: Lines<BufReader<ChildStdout>>,
}

/// Flags first: what follows a sink's name belongs to it.
fn command(setup: &Setup, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    command
        .arg("--schema")
        .arg(&setup.schema_dir)
        .arg("--data-dir")
        .arg(&setup.data_dir)
        .args(["--database-url", &url(&setup.database)])
        .args(["--api-listen", &setup.listen])
        .args(&setup.flags)
        .args(words)
        .kill_on_drop(true);
    command
}

/// Where a database is, with its password.
pub(crate) fn url(database: &ConnectOptions) -> String {
    let escape = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let password = database.password().map(String::from_utf8_lossy).unwrap_or_default();
    let (user, host, port, dbname) = (database.user(), database.host(), database.port(), database.dbname());
    format!("postgres://{}:{}@{host}:{port}/{dbname}?sslmode=disable", escape(user), escape(&password))
}

impl Up {
    /// Starts everything in one process and waits until it says that it is ready.
    pub(crate) async fn start(setup: &Setup) -> Self {
        Self::start_as(setup, &["up"]).await
    }

    /// Starts a role and waits until it says that it is ready.
    pub(crate) async fn start_as(setup: &Setup, role: &[&str]) -> Self {
        std::fs::create_dir_all(&setup.data_dir).expect("a data folder");
        let log = setup.log();
        let stderr = File::options().create(true).append(true).open(&log).expect("a log file");
        let mut process =
            command(setup, role).stdout(Stdio::piped()).stderr(stderr).spawn().expect("millstream can be started");
        let stdout = process.stdout.take().expect("its output is piped");
        let mut lines = BufReader::new(stdout).lines();
        let ready = timeout(START, lines.next_line()).await;
        let ready = ready.unwrap_or_else(|_| panic!("not ready after {START:?}: {}", tail(&log)));
        let line = ready.expect("its output is text").unwrap_or_else(|| panic!("it ended: {}", tail(&log)));
        let base = line.split_whitespace().find(|word| word.starts_with("http://"));
        let http = Http::new(base.unwrap_or_else(|| panic!("no address in {line:?}")));
        Self { process, http, log, _lines: lines }
    }

    fn pid(&self) -> Pid {
        let pid = self.process.id().unwrap_or_else(|| panic!("it has ended: {}", tail(&self.log)));
        Pid::from_raw(pid.cast_signed())
    }

    /// Sends a signal, such as SIGSTOP.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it can be sent a signal");
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        kill(self.pid(), Signal::SIGKILL).expect("it can be killed");
        self.process.wait().await.expect("it can be waited for");
    }

    /// Fails if it has ended.
    pub(crate) fn assert_alive(&mut self) {
        let ended = self.process.try_wait().expect("it can be asked");
        assert!(ended.is_none(), "it ended by itself ({ended:?}): {}", tail(&self.log));
    }

    /// SIGTERM, and waits for exit code 0.
    pub(crate) async fn stop(mut self) {
        kill(self.pid(), Signal::SIGTERM).expect("it can be told to stop");
        let status = timeout(STOP, self.process.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("still there after {STOP:?}: {}", tail(&self.log)));
        let status = status.expect("it can be waited for");
        assert!(status.success(), "{status}: {}", tail(&self.log));
    }
}

/// `millstream verify`: its exit code and everything that it printed.
pub(crate) async fn verify(setup: &Setup) -> (Option<i32>, String) {
    run(setup, &["verify"]).await
}

/// Any command on this setup: its exit code and everything that it printed.
pub(crate) async fn run(setup: &Setup, arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(setup, arguments).output().await.expect("millstream can be started");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

/// The end of a log.
fn tail(log: &Path) -> String {
    const SHOWN: usize = 6_000;
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let start = text.char_indices().rev().nth(SHOWN).map_or(0, |(at, _)| at);
    text[start..].to_owned()
}
