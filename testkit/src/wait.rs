//! Waiting for something to be so, with a deadline instead of a guess.

use std::time::{Duration, Instant};

/// How long to pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Waits until `condition` holds.
///
/// # Panics
/// When `deadline` has passed and it still does not; the message says `what` was waited for.
pub async fn wait_until<F, Fut>(what: &str, deadline: Duration, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    wait_for(what, deadline, || {
        let look = condition();
        async move { look.await.then_some(()) }
    })
    .await;
}

/// Waits until `look` finds something, and returns it.
///
/// # Panics
/// When `deadline` has passed without; the message says `what` was waited for.
pub async fn wait_for<T, F, Fut>(what: &str, deadline: Duration, mut look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        let waited = started.elapsed();
        assert!(waited < deadline, "waited {waited:?} in vain: {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
