//! The server's process: started here, or found running.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    account::{self, Account},
    error::ClusterError,
    layout::Layout,
};
use crate::connect::{ConnectOptions, Session};
use crate::error::is_transient;

/// Polling interval of a server that is starting or stopping.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Limit on one attempt to connect: another program on the port may accept and never answer.
const PROBE: Duration = Duration::from_secs(1);
/// Limit on the end of a server after an immediate shutdown.
const QUIT_TIMEOUT: Duration = Duration::from_secs(15);
/// A refused login may come from a server that had the port a moment ago; this many in a row come from this one.
const REFUSALS: u32 = 20;

/// The way in which a cluster stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Cleanly; the next start has nothing to recover.
    Clean,
    /// It did not stop in time and was ordered to quit immediately; the next start recovers from the log.
    Forced,
}

/// The outcome of waiting for a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    Exited,
}

#[derive(Debug)]
enum Process {
    /// A child of this process, which must reap it.
    Child(Child),
    /// Not a child of this process, usually that of a killed one.
    Found,
}

/// A server process. Dropping it while it runs orders a shutdown without waiting for it.
#[derive(Debug)]
pub(super) struct Postmaster {
    process: Process,
    pid: Pid,
    layout: Layout,
    log_from_bytes: u64,
}

impl Postmaster {
    /// Starts a server.
    pub(super) fn spawn(
        program: &Path,
        arguments: &[String],
        layout: &Layout,
        account: Option<&Account>,
    ) -> Result<Self, ClusterError> {
        let (log, log_from_bytes) = layout.open_log()?;
        let second = log.try_clone().map_err(|source| ClusterError::io("open", layout.log(), source))?;
        let mut command = Command::new(program);
        account::confine(&mut command, account);
        command.args(arguments).stdin(Stdio::null()).stdout(log).stderr(second);
        let child = command.spawn().map_err(|source| ClusterError::io("run", program, source))?;
        let pid = Pid::from_raw(child.id().cast_signed());
        Ok(Self { process: Process::Child(child), pid, layout: layout.clone(), log_from_bytes })
    }

    /// The server that runs on this data, with its port, if there is one. A stale pid file does not count.
    pub(super) fn running(layout: &Layout) -> Result<Option<(Self, u16)>, ClusterError> {
        let file = layout.postmaster_pid();
        let Ok(text) = fs::read_to_string(&file) else { return Ok(None) };
        let mut lines = text.lines();
        let pid = lines.next().and_then(|line| line.trim().parse::<i32>().ok()).filter(|pid| *pid > 0);
        let port = lines.nth(2).and_then(|line| line.trim().parse().ok());
        let Some(pid) = pid.map(Pid::from_raw) else { return Ok(None) };
        if !is_server_on(pid, &layout.data()) {
            // PostgreSQL itself only checks whether the number is in use. After a restart of a container it usually is,
            // by another program, and the server would refuse to start.
            fs::remove_file(&file).map_err(|source| ClusterError::io("remove the stale", &file, source))?;
            return Ok(None);
        }
        let (_, log_from_bytes) = layout.open_log()?;
        let found = Self { process: Process::Found, pid, layout: layout.clone(), log_from_bytes };
        // Port 0 matches no requested port, so a server that had not yet written its port is restarted.
        Ok(Some((found, port.unwrap_or(0))))
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw().cast_unsigned()
    }

    pub(super) fn log_tail(&self) -> String {
        self.layout.log_tail(self.log_from_bytes)
    }

    /// The end of the log, if the server is gone.
    pub(super) fn exit_reason(&mut self) -> Option<String> {
        self.has_exited().then(|| self.log_tail())
    }

    fn has_exited(&mut self) -> bool {
        match &mut self.process {
            Process::Child(child) => !matches!(child.try_wait(), Ok(None)),
            Process::Found => !is_server_on(self.pid, &self.layout.data()),
        }
    }

    /// Sends a signal, unless the server is already gone.
    fn signal(&mut self, signal: Signal) {
        if self.has_exited() {
            return;
        }
        if let Err(error) = kill(self.pid, signal) {
            tracing::warn!(pid = self.pid.as_raw(), %signal, %error, "the server could not be signalled");
        }
    }

    /// Waits until the server accepts a connection with the cluster's password.
    pub(super) async fn wait_until_ready(
        &mut self,
        connect: &ConnectOptions,
        deadline: Instant,
    ) -> Result<Readiness, ClusterError> {
        let mut refusals = 0;
        loop {
            let failure = match Session::open_within(connect, PROBE).await {
                Ok(_) if !self.has_exited() => return Ok(Readiness::Ready),
                Ok(_) => return Ok(Readiness::Exited),
                Err(error) => error,
            };
            if self.has_exited() {
                return Ok(Readiness::Exited);
            }
            let refused = failure.sqlstate().is_some_and(|code| !is_transient(code));
            refusals = if refused { refusals + 1 } else { 0 };
            if refusals >= REFUSALS || Instant::now() >= deadline {
                return Err(ClusterError::NotReady { reason: failure.to_string(), log: self.log_tail() });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Fast shutdown, then, after `deadline`, an immediate one.
    pub(super) async fn stop(&mut self, deadline: Duration) -> Result<Shutdown, ClusterError> {
        self.signal(Signal::SIGINT);
        if self.wait_for_exit(deadline).await {
            return Ok(Shutdown::Clean);
        }
        tracing::warn!(pid = self.pid.as_raw(), "the server did not stop in time and is told to quit at once");
        self.signal(Signal::SIGQUIT);
        if self.wait_for_exit(QUIT_TIMEOUT).await {
            return Ok(Shutdown::Forced);
        }
        Err(ClusterError::NotStopped { pid: self.pid(), log: self.log_tail() })
    }

    async fn wait_for_exit(&mut self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        while !self.has_exited() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        true
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        self.signal(Signal::SIGINT);
    }
}

/// Whether `pid` is a living server whose working directory is `data` (a server's always is).
fn is_server_on(pid: Pid, data: &Path) -> bool {
    if matches!(kill(pid, None), Err(Errno::ESRCH)) {
        return false;
    }
    let proc = Path::new("/proc").join(pid.to_string());
    if !Path::new("/proc/self").exists() {
        return true;
    }
    let Ok(stat) = fs::read_to_string(proc.join("stat")) else { return false };
    // "123 (postgres) S …": the name is in brackets and the state follows.
    let Some((head, tail)) = stat.rsplit_once(')') else { return false };
    let named = head.split_once('(').is_some_and(|(_, name)| name == "postgres" || name == "postmaster");
    let dead = matches!(tail.trim_start().chars().next(), Some('Z' | 'X'));
    // Without permission to read the directory (root in a container, another account), the name decides.
    let elsewhere = fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd != data);
    named && !dead && !elsewhere
}
