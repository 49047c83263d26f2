//! `dms.Tombstone`: what a sink may still hold of a deleted document.

use std::collections::HashSet;
use std::time::Duration;

use crate::connect::GenericClient;
use millstream_schema::plan::ResourceKeyId;
use uuid::Uuid;

use super::query::{query_cached, read_column, sql};
use crate::error::StoreError;
use crate::transaction::pipeline::{Pipeline, params};

const INSERT: &str = sql!("tombstone_insert.sql");
const OF_LIVING: &str = sql!("tombstone_of_living.sql");
const OLDER_THAN_SQL: &str = sql!("tombstone_older_than.sql");
const DELETE_SQL: &str = sql!("tombstone_delete.sql");

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

/// Returns the public ids of up to `limit` tombstones that are older than `age`.
///
/// # Errors
/// When the database fails.
pub async fn older_than<C: GenericClient>(client: &C, age: Duration, limit: i64) -> Result<Vec<Uuid>, StoreError> {
    read_column(&query_cached(client, OLDER_THAN_SQL, &[&age.as_secs_f64(), &limit]).await?, "DocumentUuid")
}

/// Removes the tombstones with these public ids; returns how many there were.
///
/// # Errors
/// When the database fails.
pub async fn delete<C: GenericClient>(client: &C, uuids: &[Uuid]) -> Result<u64, StoreError> {
    let statement = client.prepare_cached(DELETE_SQL).await?;
    client.execute(&statement, &[&uuids]).await
}
