//! Removing old rows of `dms.Tombstone`.

use crate::error::StoreError;
use crate::load::query_cached;
use crate::table::columns;
use deadpool_postgres::GenericClient;
use std::time::Duration;
use uuid::Uuid;

const OLDER_THAN_SQL: &str = include_str!("../../sql/table/tombstone_older_than.sql");
const DELETE_SQL: &str = include_str!("../../sql/table/tombstone_delete.sql");

/// Returns the public ids of up to `limit` tombstones that are older than `age`.
///
/// # Errors
/// When the database fails.
pub async fn older_than<C: GenericClient>(client: &C, age: Duration, limit: i64) -> Result<Vec<Uuid>, StoreError> {
    columns::column(&query_cached(client, OLDER_THAN_SQL, &[&age.as_secs_f64(), &limit]).await?, "DocumentUuid")
}

/// Removes the tombstones with these public ids; returns how many there were.
///
/// # Errors
/// When the database fails.
pub async fn delete<C: GenericClient>(client: &C, uuids: &[Uuid]) -> Result<u64, StoreError> {
    let statement = client.prepare_cached(DELETE_SQL).await?;
    Ok(client.execute(&statement, &[&uuids]).await?)
}
