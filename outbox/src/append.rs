//! Writing change records in the transaction that makes the change (invariant ATOMIC).

use tokio_postgres::GenericClient;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::OutboxError;
use millstream_pipeline::NewChange;

/// One statement for any number of change records; its parameters come from [`AppendParams`].
///
/// It answers with the number of rows written, which has to be [`AppendParams::len`].
pub const APPEND_SQL: &str = r#"
INSERT INTO "dms"."Outbox" ("DocumentId", "DocumentUuid", "ResourceKeyId", "Kind", "ContentVersion")
SELECT n."DocumentId", n."DocumentUuid", n."ResourceKeyId", n."Kind", n."ContentVersion"
  FROM unnest($1::int8[], $2::uuid[], $3::int2[], $4::text[], $5::int8[])
       WITH ORDINALITY AS n ("DocumentId", "DocumentUuid", "ResourceKeyId", "Kind", "ContentVersion", "Ordinal")
 ORDER BY n."Ordinal""#;

/// The columns of [`APPEND_SQL`], so that a writer can send it together with its other statements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppendParams {
    document_ids: Vec<i64>,
    document_uuids: Vec<Uuid>,
    resource_keys: Vec<i16>,
    kinds: Vec<&'static str>,
    content_versions: Vec<i64>,
}

impl AppendParams {
    /// The parameters for these changes, in this order.
    pub fn new<'a>(changes: impl IntoIterator<Item = &'a NewChange>) -> Self {
        let mut params = Self::default();
        for change in changes {
            params.push(change);
        }
        params
    }

    /// Adds one more change.
    pub fn push(&mut self, change: &NewChange) {
        self.document_ids.push(change.document_id);
        self.document_uuids.push(change.document_uuid);
        self.resource_keys.push(change.resource_key);
        self.kinds.push(change.kind.as_str());
        self.content_versions.push(change.content_version);
    }

    /// How many changes there are, which is the number of rows that the statement has to report.
    #[must_use]
    pub fn len(&self) -> usize {
        self.document_ids.len()
    }

    /// Whether there is nothing to write; the statement need not be sent then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.document_ids.is_empty()
    }

    /// The parameters as the driver takes them.
    #[must_use]
    pub fn as_sql(&self) -> [&(dyn ToSql + Sync); 5] {
        [&self.document_ids, &self.document_uuids, &self.resource_keys, &self.kinds, &self.content_versions]
    }
}

/// Writes the change records in the caller's open transaction, in the given order, with one statement.
///
/// # Errors
/// When the database refuses the statement or does not report as many rows as there are changes; the transaction has to
/// be rolled back then (committing a failed transaction reports success and stores nothing).
pub async fn append<C: GenericClient + Sync>(client: &C, changes: &[NewChange]) -> Result<(), OutboxError> {
    if changes.is_empty() {
        return Ok(());
    }
    const ACTION: &str = "appending to the outbox";
    let params = AppendParams::new(changes);
    let written = client.execute(APPEND_SQL, &params.as_sql()).await.map_err(OutboxError::database(ACTION))?;
    let expected = changes.len() as u64;
    if written == expected { Ok(()) } else { Err(OutboxError::RowCount { action: ACTION, expected, written }) }
}
