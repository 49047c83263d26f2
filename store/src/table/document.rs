//! `dms.Document`: heads, versions and row locks.

use std::sync::LazyLock;

use crate::connect::GenericClient;
use jiff::Timestamp;
use millstream_schema::plan::ResourceKeyId;
use uuid::Uuid;

use super::identity::NewIdentity;
use super::query::{expanded, query_cached, read_column, read_rows, row_struct, sql};
use crate::error::StoreError;
use crate::transaction::pipeline::{Pipeline, StatementRef, params};

static HEADS_BY_ID: LazyLock<String> = expanded!("document_heads_by_id.sql");
static HEADS_BY_UUID: LazyLock<String> = expanded!("document_heads_by_uuid.sql");
static HEADS_AFTER: LazyLock<String> = expanded!("document_heads_after.sql");
static HEADS_OF_TYPE_AFTER: LazyLock<String> = expanded!("document_heads_of_type_after.sql");
const ESTIMATE: &str = sql!("document_estimate.sql");
const SAMPLE: &str = sql!("document_sample.sql");
const TYPES: &str = sql!("document_types.sql");
const UUIDS: &str = sql!("document_uuids.sql");
const INSERT: &str = sql!("document_insert.sql");
/// Reads the clock under the row lock: the transaction's start may precede a change that it waited for. The same holds
/// for [`RENAME`] and [`STAMP`].
const EDIT: &str = sql!("document_edit.sql");
const RENAME: &str = sql!("document_rename.sql");
const STAMP: &str = sql!("document_stamp.sql");
const CONTENT_HASH: &str = sql!("document_content_hash.sql");
const DELETE: &str = sql!("document_delete.sql");
const TAKE_IDENTITIES: &str = sql!("document_take_identities.sql");
const LOCK_FOR_EDIT: &str = sql!("document_lock_for_edit.sql");
const LOCK_FOR_DELETE: &str = sql!("document_lock_for_delete.sql");

row_struct! {
    /// A document without its body, as one snapshot sees it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct DocumentHead {
        /// Surrogate key, never used again.
        pub document_id: i64 = "DocumentId",
        /// The public id.
        pub uuid: Uuid = "DocumentUuid",
        /// Its resource type.
        pub key: ResourceKeyId = "ResourceKeyId",
        /// Its own version.
        pub content_version: i64 = "ContentVersion",
        /// The version that readers see: above `content_version` while a cascade that has not reached it is open
        /// (docs/design/rules.md#rule-3).
        pub effective_version: i64 = "EffectiveVersion",
        /// When the effective version came to be.
        pub last_modified: Timestamp = "EffectiveLastModified",
    }
}

impl DocumentHead {
    /// Whether a cascade that will touch this document is open: its body must not be stored under its own version
    /// (docs/design/rules.md#rule-5).
    pub fn is_overtaken(&self) -> bool {
        self.effective_version > self.content_version
    }
}

/// Reads the heads of these documents, ordered by DocumentId; documents that do not exist are left out.
///
/// The sub-select hides the length of the array from the planner, which would otherwise plan every call separately.
pub async fn heads_by_id<C: GenericClient>(client: &C, ids: &[i64]) -> Result<Vec<DocumentHead>, StoreError> {
    read_rows(&query_cached(client, &HEADS_BY_ID, &[&ids]).await?)
}

/// Reads the heads of the documents with these public ids, ordered by DocumentId.
pub async fn heads_by_uuid<C: GenericClient>(client: &C, uuids: &[Uuid]) -> Result<Vec<DocumentHead>, StoreError> {
    read_rows(&query_cached(client, &HEADS_BY_UUID, &[&uuids]).await?)
}

/// Reads the heads of up to `limit` documents with a DocumentId above `after`, ordered by DocumentId: the next page of
/// a pass over all documents.
pub async fn heads_after<C: GenericClient>(
    client: &C,
    after: i64,
    limit: u32,
) -> Result<Vec<DocumentHead>, StoreError> {
    read_rows(&query_cached(client, &HEADS_AFTER, &[&after, &i64::from(limit)]).await?)
}

/// Does the same as [`heads_after`] for the documents of one type.
pub async fn heads_of_type_after<C: GenericClient>(
    client: &C,
    after: i64,
    limit: u32,
    key: ResourceKeyId,
) -> Result<Vec<DocumentHead>, StoreError> {
    read_rows(&query_cached(client, &HEADS_OF_TYPE_AFTER, &[&after, &i64::from(limit), &key]).await?)
}

/// Returns the planner's estimate of the number of documents; 0 before the first ANALYZE.
pub async fn estimated_count<C: GenericClient>(client: &C) -> Result<i64, StoreError> {
    let statement = client.prepare_cached(ESTIMATE).await?;
    Ok(client.query_one(&statement, &[]).await?.try_get("Documents")?)
}

/// Draws `count` documents at random and returns their public ids. A document can come more than once; an
/// empty table gives none.
pub async fn sample<C: GenericClient>(client: &C, count: u32) -> Result<Vec<Uuid>, StoreError> {
    read_column(&query_cached(client, SAMPLE, &[&i64::from(count)]).await?, "DocumentUuid")
}

row_struct! {
    /// A document and its resource type.
    #[derive(Debug, Clone, Copy)]
    pub struct DocumentType {
        /// The document.
        pub document_id: i64 = "DocumentId",
        /// Its resource type.
        pub key: ResourceKeyId = "ResourceKeyId",
    }
}

/// Reads the resource types of these documents.
pub async fn types<C: GenericClient>(client: &C, ids: &[i64]) -> Result<Vec<DocumentType>, StoreError> {
    read_rows(&query_cached(client, TYPES, &[&ids]).await?)
}

row_struct! {
    /// The public id of a document.
    #[derive(Debug, Clone, Copy)]
    pub struct DocumentUuid {
        /// The public id.
        pub uuid: Uuid = "DocumentUuid",
    }
}

/// Adds the public ids of these documents, ordered by DocumentId.
pub fn add_uuids(pipeline: &mut Pipeline<'_>, ids: Vec<i64>) -> StatementRef<DocumentUuid> {
    pipeline.add(UUIDS, params![ids])
}

/// A document about to be inserted.
#[derive(Debug, Clone)]
pub struct NewDocument {
    /// Surrogate key, drawn by [`super::sequence::draw_document`].
    pub document_id: i64,
    /// The public id.
    pub uuid: Uuid,
    /// Its resource type.
    pub key: ResourceKeyId,
    /// Its first version, content and identity alike.
    pub version: i64,
    /// The hash of its resolved rows.
    pub content_hash: Vec<u8>,
}

/// Adds the insert of a document. The statement takes arrays.
pub fn insert(pipeline: &mut Pipeline<'_>, document: NewDocument) {
    let NewDocument { document_id, uuid, key, version, content_hash } = document;
    pipeline.execute(INSERT, params![vec![document_id], vec![uuid], vec![key], vec![version], vec![content_hash]]);
}

row_struct! {
    /// A new document of [`insert_free`].
    #[derive(Debug, Clone, Copy)]
    pub struct InsertedDocument {
        /// The document.
        pub document_id: i64 = "DocumentId",
        /// Its first version.
        pub version: i64 = "Version",
        /// How many of its identities were free; the others belong to other documents.
        pub identities: i64 = "Identities",
    }
}

/// Adds the insert of the identities that no other document has, and of the documents that own at least one of them. A
/// document without an answer, or with fewer identities than it has in `identities`, has lost them to another
/// transaction; if it was inserted nevertheless, the transaction has to be rolled back. The versions are drawn by the
/// statement itself: that of a document in `documents` is not used.
///
/// A lost race is an answer and not an error, so the other documents of the transaction go on.
pub fn insert_free(
    pipeline: &mut Pipeline<'_>,
    identities: Vec<NewIdentity>,
    documents: Vec<NewDocument>,
) -> StatementRef<InsertedDocument> {
    let mut parameters = super::identity::insert_params(identities);
    parameters.extend(params![
        documents.iter().map(|document| document.document_id).collect::<Vec<i64>>(),
        documents.iter().map(|document| document.uuid).collect::<Vec<Uuid>>(),
        documents.iter().map(|document| document.key).collect::<Vec<ResourceKeyId>>(),
        documents.into_iter().map(|document| document.content_hash).collect::<Vec<Vec<u8>>>(),
    ]);
    pipeline.add(TAKE_IDENTITIES, parameters)
}

/// Adds the new versions and content hashes of edited documents, one of each per id. The statement finds the values by
/// position: a join with the arrays could be planned as a scan of the table.
pub fn edit(pipeline: &mut Pipeline<'_>, ids: Vec<i64>, versions: Vec<i64>, content_hashes: Vec<Vec<u8>>) {
    pipeline.execute(EDIT, params![ids, versions, content_hashes]);
}

/// Adds new content and identity versions of renamed documents; `versions` goes with `ids`.
pub fn rename(pipeline: &mut Pipeline<'_>, ids: Vec<i64>, versions: Vec<i64>) {
    pipeline.execute(RENAME, params![ids, versions]);
}

/// Adds new content versions of documents that embed a renamed one; `versions` goes with `ids`.
pub fn stamp(pipeline: &mut Pipeline<'_>, ids: Vec<i64>, versions: Vec<i64>) {
    pipeline.execute(STAMP, params![ids, versions]);
}

/// Adds the new content hash of a document.
pub fn set_content_hash(pipeline: &mut Pipeline<'_>, document_id: i64, content_hash: Vec<u8>) {
    pipeline.execute(CONTENT_HASH, params![document_id, content_hash]);
}

/// Adds the deletion of a document; the foreign keys take its other rows with it, or refuse.
pub fn delete(pipeline: &mut Pipeline<'_>, document_id: i64) {
    pipeline.execute(DELETE, params![document_id]);
}

/// Adds the lock of a document's row against everything, foreign-key checks included; no row if the document does not
/// exist.
pub fn lock_for_delete(pipeline: &mut Pipeline<'_>, document_id: i64) -> StatementRef<()> {
    pipeline.add(LOCK_FOR_DELETE, params![document_id])
}

row_struct! {
    /// A document whose row in `dms.Document` the transaction holds.
    #[derive(Debug, Clone, Copy)]
    pub struct LockedDocument {
        /// The document.
        pub document_id: i64 = "DocumentId",
        /// The public id.
        pub uuid: Uuid = "DocumentUuid",
        /// Its resource type.
        pub key: ResourceKeyId = "ResourceKeyId",
    }
}

/// Adds the locks of documents' rows against other versions of them, taken in ascending order; no row for a document
/// that does not exist.
pub fn lock_for_edit(pipeline: &mut Pipeline<'_>, ids: Vec<i64>) -> StatementRef<LockedDocument> {
    pipeline.add(LOCK_FOR_EDIT, params![ids])
}

/// SQL subquery for the DocumentId of the document with a uuid, given as a placeholder.
pub(crate) fn id_by_uuid(uuid: &str) -> String {
    format!(r#"(SELECT x."DocumentId" FROM "dms"."Document" x WHERE x."DocumentUuid" = {uuid})"#)
}
