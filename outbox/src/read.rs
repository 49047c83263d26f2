//! Reading the outbox back from its table without losing a row.
//!
//! Outbox ids are drawn before the commit, so rows become visible out of order, and "everything above the largest id
//! seen" loses those that come late. Two ways are safe: rows of transactions older than every one that still runs, in
//! order of their transaction ids ([`before_horizon`], for polling, from [`horizon`] on); and rows that a stored snapshot cannot see
//! ([`not_in`], for recovery and replay).

use tokio_postgres::types::ToSql;
use tokio_postgres::{GenericClient, Row};

use crate::progress::Snapshot;
use crate::{OutboxError, Xid8};
use millstream_pipeline::{Change, Position};

/// A row of the outbox as the statements below select it.
const COLUMNS: &str = r#"o."OutboxId", o."TransactionId", o."DocumentId", o."DocumentUuid", o."ResourceKeyId",
       o."Kind", o."ContentVersion""#;

/// Rows in the order of (transaction, id), of transactions that ended before every one that still runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledRows {
    /// The rows.
    pub changes: Vec<Change>,
    /// How far they bring us, as (transaction id, outbox id). If there was nothing more it is the horizon itself.
    pub position: Position,
    /// The oldest transaction that still ran: later rows may already be committed and are not read yet.
    pub horizon: u64,
}

/// Reads up to `limit` rows after `after`, a position of (transaction id, outbox id).
///
/// The horizon comes from the same snapshot as the rows. One transaction that runs for long, anywhere in the database's
/// cluster, holds it back; nothing is lost by that, only late. [`crate::retention::ensure_polling_index`] makes this fast.
///
/// # Errors
/// When the database refuses, or a row is of an unknown kind.
pub async fn before_horizon<C: GenericClient + Sync>(
    client: &C,
    after: Position,
    limit: i64,
) -> Result<SettledRows, OutboxError> {
    let sql = format!(
        r#"
SELECT h."Horizon", {COLUMNS}
  FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS "Horizon") AS h
  LEFT JOIN LATERAL (
       SELECT * FROM "dms"."Outbox" AS o
        WHERE o."TransactionId" < h."Horizon" AND (o."TransactionId", o."OutboxId") > ($1::xid8, $2::int8)
        ORDER BY o."TransactionId", o."OutboxId"
        LIMIT $3::int8) AS o ON true
 ORDER BY o."TransactionId", o."OutboxId""#
    );
    let outbox_id = i64::try_from(after.ordinal).unwrap_or(i64::MAX);
    let params: [&(dyn ToSql + Sync); 3] = [&Xid8(after.lsn), &outbox_id, &limit];
    let rows = client.query(&sql, &params).await.map_err(OutboxError::database("reading the outbox"))?;
    let mut horizon = 0;
    let mut changes = Vec::with_capacity(rows.len());
    for row in &rows {
        let xid: Xid8 = get(row, 0)?;
        horizon = xid.0;
        if get::<Option<i64>>(row, 1)?.is_some() {
            changes.push(change(row, 1)?);
        }
    }
    let position = match changes.last() {
        Some(last) if changes.len() as i64 >= limit => Position::within(last.xid, last.outbox_id as u64),
        _ => after.max(Position::before(horizon)),
    };
    Ok(SettledRows { changes, position, horizon })
}

/// Where polling begins that knows nothing: the oldest transaction that still runs. What commits from now on comes after
/// it, or is one that runs.
///
/// # Errors
/// When the database refuses.
pub async fn horizon<C: GenericClient + Sync>(client: &C) -> Result<Position, OutboxError> {
    transaction(client, "SELECT pg_snapshot_xmin(pg_current_snapshot())").await
}

/// The position behind every transaction that is committed and visible. A poller comes there when all that began before
/// the last of them have ended.
///
/// # Errors
/// When the database refuses.
pub async fn behind_all_committed<C: GenericClient + Sync>(client: &C) -> Result<Position, OutboxError> {
    transaction(client, "SELECT pg_snapshot_xmax(pg_current_snapshot())").await
}

async fn transaction<C: GenericClient + Sync>(client: &C, sql: &str) -> Result<Position, OutboxError> {
    let row = client.query_one(sql, &[]).await.map_err(OutboxError::database("reading which transactions run"))?;
    let xid: Xid8 = get(&row, 0)?;
    Ok(Position::before(xid.0))
}

/// Reads up to `limit` rows that `snapshot` cannot see, in order of their ids, after the id `after`.
///
/// Rows that become visible while the pages are read may be missed: they belong to a source that was started before.
///
/// # Errors
/// When the database refuses, or a row is of an unknown kind.
pub async fn not_in<C: GenericClient + Sync>(
    client: &C,
    snapshot: &Snapshot,
    after: i64,
    limit: i64,
) -> Result<Vec<Change>, OutboxError> {
    let sql = format!(
        r#"
SELECT {COLUMNS}
  FROM "dms"."Outbox" AS o
 WHERE NOT pg_visible_in_snapshot(o."TransactionId", $1::text::pg_snapshot) AND o."OutboxId" > $2::int8
 ORDER BY o."OutboxId"
 LIMIT $3::int8"#
    );
    let params: [&(dyn ToSql + Sync); 3] = [&snapshot.as_str(), &after, &limit];
    let rows = client.query(&sql, &params).await.map_err(OutboxError::database("reading the outbox for recovery"))?;
    rows.iter().map(|row| change(row, 0)).collect()
}

fn change(row: &Row, first: usize) -> Result<Change, OutboxError> {
    let outbox_id = get(row, first)?;
    let xid: Xid8 = get(row, first + 1)?;
    let kind: &str = get(row, first + 5)?;
    Ok(Change {
        outbox_id,
        xid: xid.0,
        document_id: get(row, first + 2)?,
        document_uuid: get(row, first + 3)?,
        resource_key: get(row, first + 4)?,
        kind: kind.parse().map_err(|source| OutboxError::Row { outbox_id, source })?,
        content_version: get(row, first + 6)?,
    })
}

fn get<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, OutboxError> {
    row.try_get(column).map_err(OutboxError::database("reading an outbox row"))
}
