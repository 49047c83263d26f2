//! SIGTERM and Ctrl-C as something to wait for.

use std::io;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// The signals that ask a process to end.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on these signals do not end the process by themselves.
    pub fn take_over() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Completes with the name of the next such signal. Cancellation safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Listens for the first such signal for as long as it lives.
#[derive(Debug)]
pub struct Interrupt {
    token: CancellationToken,
    listener: JoinHandle<()>,
}

impl Interrupt {
    /// Starts to listen.
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

    /// Cancelled by the signal.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.listener.abort();
    }
}
