//! Outliving an outage: whoever uses a queue to work takes its errors for the end, so brokers that are away are waited
//! for. Questions of people are not: they are told.

use millstream_pipeline::queue::QueueError;
use tokio_util::sync::CancellationToken;

use millstream_pipeline::Backoff;

/// Tries again for as long as the brokers do not answer, until `stop`. What is tried has to bear being done twice.
pub(super) async fn patiently<T, F>(
    stop: &CancellationToken,
    mut attempt: impl FnMut() -> F + Send,
) -> Result<T, QueueError>
where
    F: Future<Output = Result<T, QueueError>> + Send,
{
    let mut backoff = Backoff::RECONNECT.attempts();
    loop {
        let error = match attempt().await {
            Err(error @ QueueError::Unavailable { .. }) => error,
            ended => return ended,
        };
        let pause = backoff.fail();
        tracing::warn!(%error, ?pause, "the queue's brokers are waited for");
        tokio::select! {
            () = stop.cancelled() => return Err(QueueError::Closed),
            () = tokio::time::sleep(pause) => {}
        }
    }
}
