//! Millstream as a separate process that tests can signal and kill.

use super::http::Http;
use millstream_store::connect::{ConnectOptions, SslMode};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Limit of a start.
const START: Duration = Duration::from_secs(60);
/// Limit of an orderly stop.
const STOP: Duration = Duration::from_secs(60);

/// Schema, data folder, database and flags of a process.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) schema_dir: PathBuf,
    pub(crate) data_dir: PathBuf,
    pub(crate) database: ConnectOptions,
    /// Address of the API; port 0 selects a free port.
    pub(crate) listen: String,
    /// Additional flags.
    pub(crate) flags: Vec<String>,
}

impl Setup {
    fn log(&self) -> PathBuf {
        self.data_dir.with_extension("log")
    }

    /// Returns the end of the log that all processes of this setup share.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log())
    }
}

/// A running process; dropping it kills the process.
pub(crate) struct Process {
    child: Child,
    pub(crate) http: Http,
    log: PathBuf,
    _lines: Lines<BufReader<ChildStdout>>,
}

/// Builds a command. Flags come first, because clap assigns arguments after a sink name to the sink.
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

/// Formats the connection URL of a database, including its password.
pub(crate) fn url(database: &ConnectOptions) -> String {
    let escape = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let password = database.password().map(String::from_utf8_lossy).unwrap_or_default();
    let (user, host, port, dbname) = (database.user(), database.host(), database.port(), database.dbname());
    let tls = match (database.ssl_mode(), database.ssl_root_cert()) {
        (SslMode::VerifyFull, Some(file)) => {
            format!("sslmode=verify-full&sslrootcert={}", escape(&file.to_string_lossy()))
        }
        _ => "sslmode=disable".to_owned(),
    };
    format!("postgres://{}:{}@{host}:{port}/{dbname}?{tls}", escape(user), escape(&password))
}

impl Process {
    /// Starts `millstream up` and waits until it reports ready.
    pub(crate) async fn start(setup: &Setup) -> Self {
        Self::start_as(setup, &["up"]).await
    }

    /// Starts a role and waits until it reports ready.
    pub(crate) async fn start_as(setup: &Setup, role: &[&str]) -> Self {
        Self::start_with(setup, role, |_| {}).await
    }

    /// Starts a role with a changed command, and waits until it reports ready.
    pub(crate) async fn start_with(setup: &Setup, role: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        std::fs::create_dir_all(&setup.data_dir).expect("a data folder");
        let log = setup.log();
        let stderr = File::options().create(true).append(true).open(&log).expect("a log file");
        let mut command = command(setup, role);
        change(&mut command);
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("the millstream binary starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut lines = BufReader::new(stdout).lines();
        let ready = timeout(START, lines.next_line()).await;
        let ready = ready.unwrap_or_else(|_| panic!("not ready after {START:?}: {}", tail(&log)));
        let line = ready.expect("stdout is text").unwrap_or_else(|| panic!("the process ended: {}", tail(&log)));
        let base = line.split_whitespace().find(|word| word.starts_with("http://"));
        let http = Http::new(base.unwrap_or_else(|| panic!("no address in {line:?}")));
        Self { child, http, log, _lines: lines }
    }

    /// Returns the process id.
    pub(crate) fn pid(&self) -> Pid {
        let pid = self.child.id().unwrap_or_else(|| panic!("the process has ended: {}", tail(&self.log)));
        Pid::from_raw(pid.cast_signed())
    }

    /// Sends a signal, such as SIGSTOP.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the process can be signalled");
    }

    /// Sends SIGKILL and waits until the process is gone.
    pub(crate) async fn kill(mut self) {
        kill(self.pid(), Signal::SIGKILL).expect("the process can be killed");
        self.child.wait().await.expect("the exit status is available");
    }

    /// Returns the exit status if the process has ended.
    pub(crate) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("the exit status is available")
    }

    /// Fails if the process has ended.
    pub(crate) fn assert_alive(&mut self) {
        let ended = self.ended();
        assert!(ended.is_none(), "the process ended by itself ({ended:?}): {}", tail(&self.log));
    }

    /// Sends SIGTERM and waits for exit code 0.
    pub(crate) async fn stop(mut self) {
        kill(self.pid(), Signal::SIGTERM).expect("the process can be signalled");
        let status = timeout(STOP, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("still running {STOP:?} after SIGTERM: {}", tail(&self.log)));
        let status = status.expect("the exit status is available");
        assert!(status.success(), "{status}: {}", tail(&self.log));
    }
}

/// Runs `millstream verify`; returns its exit code and output.
pub(crate) async fn verify(setup: &Setup) -> (Option<i32>, String) {
    run(setup, &["verify"]).await
}

/// Runs a command on this setup; returns its exit code and output (stdout, then stderr).
pub(crate) async fn run(setup: &Setup, arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(setup, arguments).output().await.expect("the millstream binary starts");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

/// Returns the last characters of a log.
fn tail(log: &Path) -> String {
    const SHOWN: usize = 6_000;
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let start = text.char_indices().rev().nth(SHOWN).map_or(0, |(at, _)| at);
    text[start..].to_owned()
}
