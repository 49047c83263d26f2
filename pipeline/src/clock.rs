//! The clock as a trait, so that a test or a simulation controls time.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;

/// Wall-clock time and waiting. Components read the time and sleep only through this trait.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Milliseconds since 1970-01-01 UTC. May step when an operator sets the clock.
    fn now_ms(&self) -> u64;

    /// Completes after `duration`. Dropping the future cancels the wait.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's clock and tokio's timer.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        // With a clock before 1970 all ages are reported as zero.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that stands still until a test moves it.
#[cfg(any(test, feature = "conformance"))]
#[derive(Debug, Clone)]
pub struct ManualClock {
    now_ms: tokio::sync::watch::Sender<u64>,
}

#[cfg(any(test, feature = "conformance"))]
impl ManualClock {
    /// Returns a clock that shows `now_ms`.
    #[must_use]
    pub fn at(now_ms: u64) -> Self {
        Self { now_ms: tokio::sync::watch::Sender::new(now_ms) }
    }

    /// Moves the clock forward and completes the sleeps that are due.
    pub fn advance(&self, by_ms: u64) {
        self.now_ms.send_modify(|now_ms| *now_ms += by_ms);
    }
}

#[cfg(any(test, feature = "conformance"))]
impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        *self.now_ms.borrow()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut now_ms = self.now_ms.subscribe();
        let due_ms = self.now_ms().saturating_add(duration.as_millis() as u64);
        Box::pin(async move {
            if now_ms.wait_for(|now_ms| *now_ms >= due_ms).await.is_err() {
                // The clock was dropped, so the time never comes.
                std::future::pending::<()>().await;
            }
        })
    }
}
