//! Writes run as tasks of the process: a client that disconnects does not stop one in the middle.

use crate::backend::DocumentWriter;
use crate::problem::Problem;
use crate::state::ApiState;
use millstream_writer::{WriteError, Written};
use std::sync::Arc;
use tracing::Instrument;

/// Runs a write to its end, even if the client disconnects, and holds `held` until then: its admission, and the memory of its
/// body.
pub(super) async fn run<F>(
    api: &ApiState,
    held: impl Send + 'static,
    write: impl FnOnce(Arc<dyn DocumentWriter>) -> F,
) -> Result<Written, Problem>
where
    F: Future<Output = Result<Written, WriteError>> + Send + 'static,
{
    let write = write(Arc::clone(&api.writer));
    let task = async move {
        let written = write.await;
        drop(held);
        written
    };
    match api.writes.spawn(task.in_current_span()).await {
        Ok(written) => Ok(written?),
        Err(error) => match error.try_into_panic() {
            Ok(payload) => Err(Problem::panicked(&*payload)),
            Err(cancelled) => {
                let detail = "The server is shutting down. Whether the write was committed is unknown: read the item.";
                Err(Problem::unavailable(detail).because(cancelled.to_string()))
            }
        },
    }
}
