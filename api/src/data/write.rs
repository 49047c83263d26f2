//! Writes run as tasks of the process: a client that hangs up does not stop one in the middle.

use crate::edge::Admission;
use crate::problem::Problem;
use crate::routes::Shared;
use bytes::Bytes;
use millstream_schema::plan::ResourceIx;
use millstream_writer::{Preconditions, Written};
use std::sync::Arc;
use uuid::Uuid;

/// One write.
pub(super) enum Write {
    /// Insert or update by identity.
    Post { body: Bytes },
    /// Replace.
    Put { uuid: Uuid, body: Bytes },
    /// Remove.
    Delete { uuid: Uuid },
}

/// Runs a write to its end, whether or not somebody waits for it. The admission of its request is kept until then.
pub(super) async fn run(
    api: &Shared,
    admission: Option<Arc<Admission>>,
    resource: ResourceIx,
    write: Write,
    preconditions: Preconditions,
) -> Result<Written, Problem> {
    let writer = Arc::clone(&api.writer);
    let task = api.writes.spawn(async move {
        let written = match write {
            Write::Post { body } => writer.post(resource, body, preconditions).await,
            Write::Put { uuid, body } => writer.put(resource, uuid, body, preconditions).await,
            Write::Delete { uuid } => writer.delete(resource, uuid, preconditions).await,
        };
        drop(admission);
        written
    });
    match task.await {
        Ok(written) => Ok(written?),
        Err(error) => match error.try_into_panic() {
            Ok(payload) => Err(Problem::panicked(&*payload)),
            Err(cancelled) => {
                let detail = "The server is shutting down. Whether the write was made is not known: read the item.";
                Err(Problem::unavailable(detail).because(cancelled.to_string()))
            }
        },
    }
}
