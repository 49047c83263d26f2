//! One node of a service: a child process with a directory, a log and a watchdog.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::wait_for;

/// Time limit for the start of a node on a busy machine.
const READY_DEADLINE: Duration = Duration::from_secs(120);
/// Maximum length of the end of a log in a failure message.
const LOG_END_BYTES: usize = 3_000;

/// Shell script: waits until this process closes the pipe, then kills every node that has a pid file in the directory
/// `$1`, and removes the directory.
const WATCHDOG: &str = r#"
read -r _
for file in "$1"/*.pid; do
    pid=
    { read -r pid < "$file"; } 2>/dev/null
    [ -n "$pid" ] && grep -qsF -e "$1" "/proc/$pid/cmdline" && kill -KILL "$pid" 2>/dev/null
done
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    rm -rf "$1" 2>/dev/null && sleep 0.1 && [ ! -e "$1" ] && break
    sleep 0.1
done
"#;

/// Returns the path of `scripts/services`, which runs a node.
pub(super) fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/services")
}

/// Creates a directory for the nodes of one service, and starts the watchdog that removes both when this process ends.
pub(super) fn node_directory(prefix: &str) -> (PathBuf, Child) {
    let directory = tempfile::Builder::new().prefix(prefix).tempdir().expect("a temporary directory").keep();
    let watchdog = Command::new("sh")
        .args(["-c", WATCHDOG, "watchdog"])
        .arg(&directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("sh runs");
    (directory, watchdog)
}

/// Returns free loopback ports outside the range of outgoing connections.
pub(super) fn free_ports(count: usize) -> Vec<u16> {
    let output = Command::new(script()).arg("ports").arg(count.to_string()).output().expect("scripts/services runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let ports: Vec<u16> = text.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(ports.len(), count, "scripts/services ports: {}", String::from_utf8_lossy(&output.stderr));
    ports
}

/// A node, running or not.
#[derive(Debug)]
pub(super) struct Node {
    name: String,
    directory: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    /// Offset in the log at which the current run begins.
    log_begin: u64,
}

impl Node {
    /// Creates a node called `name` in `directory` without starting it. `rest` holds the arguments of
    /// `scripts/services` that follow the node's directory.
    pub(super) fn new(
        directory: &Path,
        name: String,
        command: &str,
        rest: Vec<String>,
        environment: Vec<(String, String)>,
    ) -> Self {
        let node_directory = directory.join(&name).display().to_string();
        let arguments = [vec![command.to_owned(), node_directory], rest].concat();
        Self { name, directory: directory.to_owned(), arguments, environment, child: None, log_begin: 0 }
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.directory.join(format!("{}.{ending}", self.name))
    }

    /// Starts the node without waiting until it is ready.
    pub(super) fn launch(&mut self) {
        assert!(self.child.is_none(), "{} is already running", self.name);
        let log = OpenOptions::new().create(true).append(true).open(self.file("log")).expect("a log file");
        self.log_begin = log.metadata().expect("a log file").len();
        let errors = log.try_clone().expect("a second handle of the log");
        let child = Command::new(script())
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .expect("scripts/services runs");
        fs::write(self.file("pid"), format!("{}\n", child.id())).expect("the pid file can be written");
        self.child = Some(child);
    }

    /// Waits until the log contains `word`.
    ///
    /// # Errors
    /// Returns the end of the log if the node exits first.
    pub(super) async fn ready(&mut self, word: &str) -> Result<(), String> {
        let what = format!("{} to be ready", self.name);
        let this = std::cell::RefCell::new(self);
        wait_for(&what, READY_DEADLINE, || {
            let mut node = this.borrow_mut();
            let log = node.log();
            let attempt = if log.contains(word) {
                Some(Ok(()))
            } else if node.ended() {
                Some(Err(node.log_end()))
            } else {
                None
            };
            std::future::ready(attempt)
        })
        .await
    }

    /// Returns whether the node is not running: it was never started, was stopped, or exited by itself.
    pub(super) fn ended(&mut self) -> bool {
        let ended = self.child.as_mut().is_none_or(|child| child.try_wait().is_ok_and(|ended| ended.is_some()));
        if ended {
            self.child = None;
        }
        ended
    }

    /// Returns the end of the current run's log, for a failure message.
    pub(super) fn log_end(&self) -> String {
        let log = self.log();
        log[log.floor_char_boundary(log.len().saturating_sub(LOG_END_BYTES))..].to_owned()
    }

    /// Returns the log of the current run.
    pub(super) fn log(&self) -> String {
        let mut bytes = Vec::new();
        if let Ok(mut log) = File::open(self.file("log")) {
            let positioned = log.seek(SeekFrom::Start(self.log_begin));
            positioned.and_then(|_| log.read_to_end(&mut bytes)).expect("the log can be read");
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns the process id of the node itself.
    pub(super) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap_or_else(|| panic!("{} is not running", self.name)).id()
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).expect("the node can be sent a signal");
    }

    /// Sends a signal that terminates the node, and waits for its exit.
    pub(super) fn end(&mut self, signal: Signal) {
        self.signal(signal);
        let mut child = self.child.take().unwrap_or_else(|| panic!("{} is not running", self.name));
        child.wait().expect("the node can be waited for");
    }

    /// Returns whether this process started the node and has not ended it. The node may have exited by itself.
    pub(super) fn runs(&self) -> bool {
        self.child.is_some()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.runs() {
            self.end(Signal::SIGKILL);
        }
    }
}
