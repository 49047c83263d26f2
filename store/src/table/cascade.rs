//! `dms.Cascade`: renames whose referrers are still being stamped (docs/design/rules.md#rule-2).
//!
//! The writer opens a cascade ([`open`]); the projector processes it page by page. A page is these statements in one transaction: [`take_oldest`], [`referrers`], [`lock_below`],
//! [`stamp`], then [`move_cursor`] or [`close`].

use super::query::{query_cached, read_column, read_row, read_rows, row_struct, sql};
use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::transaction::pipeline::{Pipeline, params};
use uuid::Uuid;

/// The time is that of the draw, under the rename lock, so cascades are as old as their versions say: the time that a
/// referrer of two of them is served with does not depend on which one reaches it first.
const OPEN_SQL: &str = sql!("cascade_open.sql");
const TAKE_OLDEST_SQL: &str = sql!("cascade_take_oldest.sql");
const REFERRERS_SQL: &str = sql!("cascade_referrers.sql");
const LOCK_BELOW_SQL: &str = sql!("cascade_lock_below.sql");
const STAMP_SQL: &str = sql!("cascade_stamp.sql");
const MOVE_SQL: &str = sql!("cascade_move.sql");
const CLOSE_SQL: &str = sql!("cascade_close.sql");
const BACKLOG_SQL: &str = sql!("cascade_backlog.sql");
const ANY_SQL: &str = sql!("cascade_any.sql");

row_struct! {
    /// An open cascade.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct OpenCascade {
        /// The renamed document.
        pub document_id: i64 = "DocumentId",
        /// The version of its rename.
        pub version: i64 = "ContentVersion",
        /// Referrers up to this DocumentId have been stamped.
        pub cursor: i64 = "Cursor",
    }
}

row_struct! {
    /// A referrer that carries the cascade's version now.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct StampedReferrer {
        /// Surrogate key.
        pub document_id: i64 = "DocumentId",
        /// The public id.
        pub uuid: Uuid = "DocumentUuid",
        /// `ResourceKeyId` of its type.
        pub resource_key: i16 = "ResourceKeyId",
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

/// Adds a cascade for each of these renamed documents; `versions` goes with `document_ids`.
pub fn open(pipeline: &mut Pipeline<'_>, document_ids: Vec<i64>, versions: Vec<i64>) {
    pipeline.execute(OPEN_SQL, params![document_ids, versions]);
}

/// Locks the oldest open cascade that no other transaction holds, and returns it. Passes over the cascades of `except`:
/// each is a renamed document and the version of its rename.
///
/// # Errors
/// When the database fails.
pub async fn take_oldest<C: GenericClient>(
    client: &C,
    except: &[(i64, i64)],
) -> Result<Option<OpenCascade>, StoreError> {
    let (document_ids, versions): (Vec<i64>, Vec<i64>) = except.iter().copied().unzip();
    query_cached(client, TAKE_OLDEST_SQL, &[&document_ids, &versions]).await?.first().map(read_row).transpose()
}

/// Returns up to `limit` documents behind the cascade's cursor that refer to the renamed document, ascending.
///
/// # Errors
/// When the database fails.
pub async fn referrers<C: GenericClient>(client: &C, of: &OpenCascade, limit: i64) -> Result<Vec<i64>, StoreError> {
    let rows = query_cached(client, REFERRERS_SQL, &[&of.document_id, &of.cursor, &limit]).await?;
    read_column(&rows, "ParentDocumentId")
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
    read_column(&query_cached(client, LOCK_BELOW_SQL, &[&document_ids, &version]).await?, "DocumentId")
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
    read_rows(&query_cached(client, STAMP_SQL, &[&cascade.document_id, &cascade.version, &document_ids]).await?)
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
