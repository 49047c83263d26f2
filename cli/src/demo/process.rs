//! A `millstream up` of this program as a child process that can be killed.

use super::data::DataSet;
use crate::failure::Failure;
use reqwest::Url;
use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// Longest start, including the creation of a cluster.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// Longest stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(90);
/// Lines of the log in an error message.
const LOG_LINES: usize = 20;

/// A running process, which is killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: PathBuf,
    /// Address of its API.
    pub(super) url: Url,
}

impl Process {
    /// Starts a process and waits until it reports that it is ready.
    pub(super) async fn start(data: &DataSet, data_dir: &Path, listen: &str) -> Result<Self, Failure> {
        let log = data_dir.with_extension("log");
        let program = std::env::current_exe().map_err(Failure::failed)?;
        let stderr = OpenOptions::new().create(true).append(true).open(&log).map_err(Failure::failed)?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MILLSTREAM_")) {
            command.env_remove(name);
        }
        for schema in &data.schema {
            command.arg("--schema").arg(schema);
        }
        // A configuration file in the working directory of the demo must have no effect.
        command.current_dir(data_dir.parent().unwrap_or(data_dir));
        command.arg("up").arg("--data-dir").arg(data_dir).args(["--api-listen", listen]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(true);
        let mut child = command.spawn().map_err(Failure::failed)?;
        let stdout = child.stdout.take();
        let ready = async {
            let mut lines = BufReader::new(stdout?).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((_, rest)) = line.split_once("ready at ") {
                    return rest.split_whitespace().next().and_then(|url| url.parse().ok());
                }
            }
            None
        };
        let ready: Option<Url> = tokio::time::timeout(START_TIMEOUT, ready).await.ok().flatten();
        match ready {
            Some(url) => Ok(Self { child, log, url }),
            None => Err(Failure::failed(format!("`millstream up` did not start; its log ends with:\n{}", tail(&log)))),
        }
    }

    /// Returns host and port, for another process on the same address.
    pub(super) fn listen(&self) -> String {
        format!("{}:{}", self.url.host_str().unwrap_or("127.0.0.1"), self.url.port().unwrap_or_default())
    }

    /// Kills the process with SIGKILL and waits for its end.
    pub(super) async fn kill(mut self) -> Result<(), Failure> {
        self.child.kill().await.map_err(Failure::failed)
    }

    /// Stops the process with SIGTERM and waits for its end.
    pub(super) async fn stop(mut self) -> Result<ExitStatus, Failure> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            let pid = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).map_err(Failure::failed)?;
        }
        match tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(status) => status.map_err(Failure::failed),
            Err(_) => {
                Err(Failure::failed(format!("`millstream up` did not stop; its log ends with:\n{}", tail(&self.log))))
            }
        }
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_else(|error| format!("(cannot read {}: {error})", log.display()));
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
