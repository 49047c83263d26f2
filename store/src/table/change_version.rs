//! `dms.ChangeVersionSequence`: the sequence that every ContentVersion is drawn from.

use crate::error::StoreError;
use deadpool_postgres::GenericClient;

const NEWEST_SQL: &str = include_str!("../../sql/table/change_version_newest.sql");

/// Returns the largest version drawn so far, committed or not; 0 before the first.
///
/// # Errors
/// When the database fails.
pub async fn newest<C: GenericClient>(client: &C) -> Result<i64, StoreError> {
    let statement = client.prepare_cached(NEWEST_SQL).await?;
    Ok(client.query_one(&statement, &[]).await?.try_get("Newest")?)
}
