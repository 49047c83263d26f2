//! `dms.Cascade`: renames whose referrers are still being stamped (docs/design/rules.md#rule-2).
//!
//! A page of a cascade is these statements in one transaction: [`take_oldest`], [`referrers`], [`lock_below`],
//! [`stamp`], then [`move_cursor`] or [`close`].

use crate::error::StoreError;
use crate::load::query_cached;
use crate::table::columns;
use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

const TAKE_OLDEST_SQL: &str = include_str!("../../sql/table/cascade_take_oldest.sql");
const REFERRERS_SQL: &str = include_str!("../../sql/table/cascade_referrers.sql");
const LOCK_BELOW_SQL: &str = include_str!("../../sql/table/cascade_lock_below.sql");
const STAMP_SQL: &str = include_str!("../../sql/table/cascade_stamp.sql");
const MOVE_SQL: &str = include_str!("../../sql/table/cascade_move.sql");
const CLOSE_SQL: &str = include_str!("../../sql/table/cascade_close.sql");
const BACKLOG_SQL: &str = include_str!("../../sql/table/cascade_backlog.sql");
const ANY_SQL: &str = include_str!("../../sql/table/cascade_any.sql");

/// An open cascade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenCascade {
    /// The renamed document.
    pub document_id: i64,
    /// The version of its rename.
    pub version: i64,
    /// Referrers up to this DocumentId have been stamped.
    pub cursor: i64,
}

impl OpenCascade {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            document_id: row.try_get("DocumentId")?,
            version: row.try_get("ContentVersion")?,
            cursor: row.try_get("Cursor")?,
        })
    }
}

/// A referrer that carries the cascade's version now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StampedReferrer {
    /// Surrogate key.
    pub document_id: i64,
    /// The public id.
    pub uuid: Uuid,
    /// `ResourceKeyId` of its type.
    pub resource_key: i16,
}

impl StampedReferrer {
    fn read(rows: &[Row]) -> Result<Vec<Self>, StoreError> {
        let [document_id, uuid, resource_key] =
            columns::indexes(rows, ["DocumentId", "DocumentUuid", "ResourceKeyId"])?;
        rows.iter()
            .map(|row| {
                Ok(Self {
                    document_id: row.try_get(document_id)?,
                    uuid: row.try_get(uuid)?,
                    resource_key: row.try_get(resource_key)?,
                })
            })
            .collect()
    }
}

/// The open cascades as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CascadeBacklog {
    /// Cascades that are open.
    pub open: u64,
    /// Age of the oldest; 0 if none is open.
    pub oldest_age_ms: u64,
}

/// Locks the oldest open cascade that no other transaction holds, and returns it.
///
/// # Errors
/// When the database fails.
pub async fn take_oldest<C: GenericClient>(client: &C) -> Result<Option<OpenCascade>, StoreError> {
    query_cached(client, TAKE_OLDEST_SQL, &[]).await?.first().map(OpenCascade::read).transpose()
}

/// Returns up to `limit` documents behind the cascade's cursor that refer to the renamed document, ascending.
///
/// # Errors
/// When the database fails.
pub async fn referrers<C: GenericClient>(client: &C, of: &OpenCascade, limit: i64) -> Result<Vec<i64>, StoreError> {
    let rows = query_cached(client, REFERRERS_SQL, &[&of.document_id, &of.cursor, &limit]).await?;
    columns::column(&rows, "ParentDocumentId")
}

/// Locks those of the documents whose version is below `version`, in ascending order, and returns them.
///
/// # Errors
/// When the database fails.
pub async fn lock_below<C: GenericClient>(
    client: &C,
    document_ids: &[i64],
    version: i64,
) -> Result<Vec<i64>, StoreError> {
    columns::column(&query_cached(client, LOCK_BELOW_SQL, &[&document_ids, &version]).await?, "DocumentId")
}

/// Gives the documents the cascade's version and returns those that were below it.
///
/// # Errors
/// When the database fails.
pub async fn stamp<C: GenericClient>(
    client: &C,
    cascade: &OpenCascade,
    document_ids: &[i64],
) -> Result<Vec<StampedReferrer>, StoreError> {
    let rows = query_cached(client, STAMP_SQL, &[&cascade.document_id, &cascade.version, &document_ids]).await?;
    StampedReferrer::read(&rows)
}

/// Moves the cursor behind `referrer`.
///
/// # Errors
/// When the database fails.
pub async fn move_cursor<C: GenericClient>(client: &C, cascade: &OpenCascade, referrer: i64) -> Result<(), StoreError> {
    let statement = client.prepare_cached(MOVE_SQL).await?;
    client.execute(&statement, &[&cascade.document_id, &cascade.version, &referrer]).await?;
    Ok(())
}

/// Removes a cascade whose last referrer is stamped.
///
/// # Errors
/// When the database fails.
pub async fn close<C: GenericClient>(client: &C, cascade: &OpenCascade) -> Result<(), StoreError> {
    let statement = client.prepare_cached(CLOSE_SQL).await?;
    client.execute(&statement, &[&cascade.document_id, &cascade.version]).await?;
    Ok(())
}

/// Counts the open cascades.
///
/// # Errors
/// When the database fails.
pub async fn backlog<C: GenericClient>(client: &C) -> Result<CascadeBacklog, StoreError> {
    let statement = client.prepare_cached(BACKLOG_SQL).await?;
    let row = client.query_one(&statement, &[]).await?;
    let number = |name| row.try_get::<_, i64>(name).map(|number| u64::try_from(number).unwrap_or(0));
    Ok(CascadeBacklog { open: number("Open")?, oldest_age_ms: number("OldestAgeMs")? })
}

/// Returns whether any cascade is open.
///
/// # Errors
/// When the database fails.
pub async fn any_open<C: GenericClient>(client: &C) -> Result<bool, StoreError> {
    let statement = client.prepare_cached(ANY_SQL).await?;
    Ok(client.query_one(&statement, &[]).await?.try_get("AnyOpen")?)
}
