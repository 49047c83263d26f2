//! Writes run as tasks of the process: a client that disconnects does not stop one in the middle.

use crate::backend::DocumentWriter;
use crate::problem::Problem;
use crate::state::{Admission, ApiState};
use axum::http::request;
use millstream_writer::{WriteError, Written};
use std::sync::Arc;
use tracing::Instrument;

/// Runs a write to its end, even if the client disconnects. The request's admission is held until then.
pub(super) async fn run<F>(
    api: &ApiState,
    head: &request::Parts,
    write: impl FnOnce(Arc<dyn DocumentWriter>) -> F,
) -> Result<Written, Problem>
where
    F: Future<Output = Result<Written, WriteError>> + Send + 'static,
{
    let admission = head.extensions.get::<Arc<Admission>>().map(Arc::clone);
    let write = write(Arc::clone(&api.writer));
    let task = async move {
        let written = write.await;
        drop(admission);
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
