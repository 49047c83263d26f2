//! Signals that stop a process: SIGTERM, SIGINT (Ctrl-C) and SIGHUP (a closed terminal).

use std::{fs, io};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// The signals that stop a process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// `None` if the process was started to outlive its terminal (`nohup`).
    hangup: Option<Signal>,
}

impl Signals {
    /// Installs handlers, so that these signals no longer end the process by themselves.
    pub fn take_over() -> io::Result<Self> {
        let hangup = if is_hangup_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())?, hangup })
    }

    /// Waits for the next signal and returns its name. Cancellation safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = hung_up(self.hangup.as_mut()) => "SIGHUP",
        }
    }
}

async fn hung_up(hangup: Option<&mut Signal>) -> Option<()> {
    match hangup {
        Some(hangup) => hangup.recv().await,
        None => std::future::pending().await,
    }
}

/// Whether SIGHUP was ignored when the process started: the first bit of `SigIgn`. False where `/proc` does not say.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Cancels a token at the first signal. Dropping it stops listening.
#[derive(Debug)]
pub struct Interrupt {
    token: CancellationToken,
    listener: JoinHandle<()>,
}

impl Interrupt {
    /// Starts listening.
    pub fn listen() -> io::Result<Self> {
        let mut signals = Signals::take_over()?;
        let token = CancellationToken::new();
        let cancelled = token.clone();
        let listener = tokio::spawn(async move {
            signals.next().await;
            cancelled.cancel();
        });
        Ok(Self { token, listener })
    }

    /// Returns the token that the signal cancels.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.listener.abort();
    }
}
