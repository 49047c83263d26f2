//! Retrying a transaction that lost against another one.
//!
//! Only failures after which the server has rolled back everything are retried (serialization failure, deadlock), and
//! the whole transaction is repeated, never a part of it. All other errors are returned to the caller.

use std::time::Duration;

use crate::error::{ErrorKind, StoreError};
use crate::metrics::{EXHAUSTED, RETRIES};

/// An error that states whether the operation may be repeated.
pub trait Retryable {
    /// A short, fixed name of the reason to try again, or `None` if that would not help.
    fn retry_reason(&self) -> Option<&'static str>;
}

impl Retryable for StoreError {
    fn retry_reason(&self) -> Option<&'static str> {
        match self.kind() {
            ErrorKind::Serialization => Some("serialization"),
            ErrorKind::Deadlock => Some("deadlock"),
            _ => None,
        }
    }
}

/// The number of retries of an operation, and the pauses before them.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Repetitions after the first attempt.
    pub retries: u32,
    /// Longest pause before the first repetition; it doubles with each.
    pub base: Duration,
    /// Draws the share of the pause that is taken, from 0 to 1.
    pub jitter: fn() -> f64,
}

impl Default for RetryPolicy {
    /// Three repetitions, from 150 ms on, random.
    fn default() -> Self {
        Self { retries: 3, base: Duration::from_millis(150), jitter: rand::random::<f64> }
    }
}

impl RetryPolicy {
    /// The pause before repetition `number` (from 1): between half and all of `base · 2^(number-1)`. Two transactions
    /// that conflicted once would conflict again if both waited equally long.
    fn pause(&self, number: u32) -> Duration {
        let full = self.base.saturating_mul(1_u32.checked_shl(number.saturating_sub(1)).unwrap_or(u32::MAX));
        full.mul_f64(0.5 + (self.jitter)().clamp(0.0, 1.0) / 2.0)
    }
}

/// Why an operation under [`with_retry`] did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum RetryError<E> {
    /// It failed permanently.
    #[error(transparent)]
    Failed(E),
    /// Every attempt lost against other transactions.
    #[error("gave up after {attempts} attempts that each lost against other transactions")]
    Exhausted {
        /// Attempts made.
        attempts: u32,
        /// The error of the last one.
        #[source]
        last: E,
    },
}

impl<E> RetryError<E> {
    /// The error of the last attempt.
    pub fn into_last(self) -> E {
        match self {
            Self::Failed(error) | Self::Exhausted { last: error, .. } => error,
        }
    }
}

/// Runs `attempt` until it succeeds, fails permanently, or the policy's repetitions are used up.
///
/// `operation` is its name in metrics and logs; `attempt` gets the number of the attempt, from 1. Each call must be a
/// separate transaction.
pub async fn with_retry<T, E, F, Fut>(
    policy: &RetryPolicy,
    operation: &'static str,
    mut attempt: F,
) -> Result<T, RetryError<E>>
where
    E: Retryable + std::fmt::Display,
    F: FnMut(u32) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut number = 1;
    loop {
        let error = match attempt(number).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(reason) = error.retry_reason() else { return Err(RetryError::Failed(error)) };
        if number > policy.retries {
            metrics::counter!(EXHAUSTED, "operation" => operation, "reason" => reason).increment(1);
            return Err(RetryError::Exhausted { attempts: number, last: error });
        }
        metrics::counter!(RETRIES, "operation" => operation, "reason" => reason).increment(1);
        let pause = policy.pause(number);
        tracing::debug!(operation, reason, attempt = number, pause_ms = pause.as_millis() as u64, %error, "retrying");
        tokio::time::sleep(pause).await;
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::Instant;

    use super::*;

    fn deadlock() -> StoreError {
        StoreError::new(ErrorKind::Deadlock, "deadlock detected")
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadlock_is_repeated_with_growing_pauses() {
        let policy = RetryPolicy { jitter: || 1.0, ..RetryPolicy::default() };
        let started = Instant::now();
        let result =
            with_retry(&policy, "test", |number| async move { if number <= 3 { Err(deadlock()) } else { Ok(number) } })
                .await;
        assert_eq!(result.ok(), Some(4));
        let waited = started.elapsed();
        let expected = Duration::from_millis(150 + 300 + 600);
        assert!(waited >= expected && waited < expected + Duration::from_millis(10), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_gives_up_after_three_repetitions() {
        let calls = AtomicU32::new(0);
        let result: Result<(), _> = with_retry(&RetryPolicy::default(), "test", |_| async {
            calls.fetch_add(1, Ordering::Relaxed);
            Err(StoreError::new(ErrorKind::Serialization, "could not serialize"))
        })
        .await;
        assert_eq!(calls.load(Ordering::Relaxed), 4);
        assert!(matches!(result, Err(RetryError::Exhausted { attempts: 4, .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn other_failures_go_to_the_caller_at_once() {
        let calls = AtomicU32::new(0);
        let result: Result<(), _> = with_retry(&RetryPolicy::default(), "test", |_| async {
            calls.fetch_add(1, Ordering::Relaxed);
            Err(StoreError::new(ErrorKind::ConnectionLost, "gone"))
        })
        .await;
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert!(matches!(result, Err(RetryError::Failed(_))));
    }

    #[test]
    fn pauses_stay_between_half_and_all() {
        let low = RetryPolicy { jitter: || 0.0, ..RetryPolicy::default() };
        let high = RetryPolicy { jitter: || 1.0, ..RetryPolicy::default() };
        for (number, full_ms) in [(1, 150), (2, 300), (3, 600)] {
            assert_eq!(low.pause(number), Duration::from_millis(full_ms / 2));
            assert_eq!(high.pause(number), Duration::from_millis(full_ms));
        }
    }
}
