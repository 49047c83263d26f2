//! Waiting for a condition with a deadline, instead of sleeping for a guessed time.

use std::time::{Duration, Instant};

/// Pause between two attempts.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds.
///
/// # Panics
/// When the condition does not hold within `deadline`; the message contains `what`.
pub async fn wait_until<F, Fut>(what: &str, deadline: Duration, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    wait_for(what, deadline, || {
        let attempt = condition();
        async move { attempt.await.then_some(()) }
    })
    .await;
}

/// Waits until `attempt` returns a value, and returns it.
///
/// # Panics
/// When it returns none within `deadline`; the message contains `what`.
pub async fn wait_for<T, F, Fut>(what: &str, deadline: Duration, mut attempt: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let started = Instant::now();
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        let waited = started.elapsed();
        assert!(waited < deadline, "condition not met within {waited:?}: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
