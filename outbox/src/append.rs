//! Writing change records in the transaction that makes the change (invariant ATOMIC).

use millstream_pipeline::NewChange;
use millstream_store::connect::GenericClient;
use millstream_store::table::outbox::{self, NewOutboxRows};
use millstream_store::transaction::Pipeline;

use crate::error::{During, OutboxError};

/// Adds the change records to a pipeline, in the given order, as one statement; adds nothing if there are none.
pub fn add<'a>(pipeline: &mut Pipeline<'_>, changes: impl IntoIterator<Item = &'a NewChange>) {
    let rows = rows(changes);
    if !rows.is_empty() {
        outbox::add(pipeline, rows);
    }
}

/// Writes the change records in the caller's open transaction, in the given order, with one statement.
///
/// # Errors
/// When the database refuses the statement or reports another number of rows than there are changes. The caller then
/// rolls the transaction back: committing a failed transaction reports success and stores nothing.
pub async fn append<C: GenericClient>(client: &C, changes: &[NewChange]) -> Result<(), OutboxError> {
    if changes.is_empty() {
        return Ok(());
    }
    const ACTION: &str = "appending to the outbox";
    let written = outbox::append(client, &rows(changes)).await.during(ACTION)?;
    let expected = changes.len() as u64;
    if written == expected { Ok(()) } else { Err(OutboxError::RowCount { action: ACTION, expected, written }) }
}

fn rows<'a>(changes: impl IntoIterator<Item = &'a NewChange>) -> NewOutboxRows {
    let mut rows = NewOutboxRows::default();
    for change in changes {
        rows.push(
            change.document_id,
            change.document_uuid,
            change.resource_key,
            change.kind.as_str(),
            change.content_version,
        );
    }
    rows
}
