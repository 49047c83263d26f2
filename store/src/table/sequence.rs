//! The sequences of DocumentIds and versions.

use crate::connect::GenericClient;

use super::query::{row_struct, sql};
use crate::error::StoreError;
use crate::transaction::pipeline::{Pipeline, StatementRef, params};

const NEWEST_SQL: &str = sql!("sequence_newest_version.sql");
const DRAW_DOCUMENT: &str = sql!("sequence_draw_document.sql");
const DRAW_DOCUMENTS: &str = sql!("sequence_draw_documents.sql");
const DRAW_VERSION: &str = sql!("sequence_draw_version.sql");
const DRAW_VERSIONS: &str = sql!("sequence_draw_versions.sql");

row_struct! {
    /// The id and first version of a new document.
    #[derive(Debug, Clone, Copy)]
    pub struct DrawnDocument {
        /// The id.
        pub document_id: i64 = "DocumentId",
        /// The version.
        pub version: i64 = "Version",
    }
}

row_struct! {
    /// A drawn version.
    #[derive(Debug, Clone, Copy)]
    pub struct DrawnVersion {
        /// The version.
        pub version: i64 = "Version",
    }
}

row_struct! {
    /// A drawn DocumentId.
    #[derive(Debug, Clone, Copy)]
    pub struct DrawnId {
        /// The id.
        pub document_id: i64 = "DocumentId",
    }
}

/// Adds the draw of `count` DocumentIds, ascending.
pub fn draw_ids(pipeline: &mut Pipeline<'_>, count: usize) -> StatementRef<DrawnId> {
    pipeline.add(DRAW_DOCUMENTS, params![i64::try_from(count).unwrap_or(i64::MAX)])
}

/// Adds the draw of a DocumentId and a version.
pub fn draw_document(pipeline: &mut Pipeline<'_>) -> StatementRef<DrawnDocument> {
    pipeline.add(DRAW_DOCUMENT, Vec::new())
}

/// Adds the draw of one version. Call it only under the document's row lock (docs/design/rules.md#rule-1).
pub fn draw_version(pipeline: &mut Pipeline<'_>) -> StatementRef<DrawnVersion> {
    pipeline.add(DRAW_VERSION, Vec::new())
}

/// Adds the draw of `count` versions, ascending.
pub fn draw_versions(pipeline: &mut Pipeline<'_>, count: usize) -> StatementRef<DrawnVersion> {
    pipeline.add(DRAW_VERSIONS, params![i64::try_from(count).unwrap_or(i64::MAX)])
}

/// Returns the largest version drawn so far, committed or not; 0 before the first.
///
/// # Errors
/// When the database fails.
pub async fn newest_version<C: GenericClient>(client: &C) -> Result<i64, StoreError> {
    let statement = client.prepare_cached(NEWEST_SQL).await?;
    Ok(client.query_one(&statement, &[]).await?.try_get("Newest")?)
}
