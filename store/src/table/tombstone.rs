//! `dms.Tombstone`: what a sink may still hold of a deleted document.

use std::collections::HashSet;

use deadpool_postgres::GenericClient;
use millstream_schema::plan::ResourceKeyId;
use uuid::Uuid;

use super::query::{query_cached, read_column, sql};
use crate::error::StoreError;
use crate::transaction::pipeline::{Pipeline, params};

const INSERT: &str = sql!("tombstone_insert.sql");
const OF_LIVING: &str = sql!("tombstone_of_living.sql");

/// The tombstone of a document that the transaction deletes.
#[derive(Debug, Clone)]
pub struct NewTombstone {
    /// The public id.
    pub uuid: Uuid,
    /// The document.
    pub document_id: i64,
    /// Its resource type.
    pub key: ResourceKeyId,
    /// The version of the deletion.
    pub version: i64,
    /// Its last identity.
    pub identity_values: Vec<String>,
}

/// Adds the insert of a tombstone.
pub fn insert(pipeline: &mut Pipeline<'_>, tombstone: NewTombstone) {
    let NewTombstone { uuid, document_id, key, version, identity_values } = tombstone;
    pipeline.execute(INSERT, params![uuid, document_id, key, version, identity_values]);
}

/// Reads which of these existing documents have a tombstone: each one is damage.
pub async fn of_living<C: GenericClient>(client: &C, document_ids: &[i64]) -> Result<HashSet<i64>, StoreError> {
    let rows = query_cached(client, OF_LIVING, &[&document_ids]).await?;
    Ok(read_column(&rows, "DocumentId")?.into_iter().collect())
}
