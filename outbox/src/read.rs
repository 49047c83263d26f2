//! Reading the outbox back from its table without losing a row.
//!
//! Outbox ids are drawn before the commit, so rows become visible out of order, and "everything above the largest id
//! seen" loses the late ones. Two ways are safe: rows of transactions older than every one that still runs, in order of
//! their transaction ids ([`before_horizon`], for polling, from [`horizon`] on); and rows that a stored snapshot cannot
//! see ([`not_in`], for recovery and replay).

use millstream_pipeline::{Change, Position};
use millstream_store::connect::GenericClient;
use millstream_store::table::outbox::{self, OutboxRow};
use millstream_store::xid::Xid8;

use crate::error::{During, OutboxError};
use crate::progress::Snapshot;

/// Rows in the order of (transaction, id), of transactions that ended before every one that still runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledRows {
    /// The rows.
    pub changes: Vec<Change>,
    /// The position that the rows lead to, as (transaction id, outbox id): the horizon itself if there was nothing
    /// more.
    pub position: Position,
    /// The oldest transaction that still ran: later rows may already be committed and are not read yet.
    pub horizon: u64,
}

/// Reads up to `limit` rows after `after`, a position of (transaction id, outbox id).
///
/// The horizon comes from the same snapshot as the rows. One long transaction, anywhere in the database's cluster,
/// holds it back; nothing is lost by that, only late. [`crate::retention::ensure_polling_index`] makes this fast.
///
/// # Errors
/// When the database refuses, or a row is of an unknown kind.
pub async fn before_horizon<C: GenericClient>(
    client: &C,
    after: Position,
    limit: i64,
) -> Result<SettledRows, OutboxError> {
    let outbox_id = i64::try_from(after.ordinal).unwrap_or(i64::MAX);
    let rows = outbox::before_horizon(client, Xid8(after.lsn), outbox_id, limit).await.during("reading the outbox")?;
    let mut horizon = 0;
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        horizon = row.horizon.0;
        if let Some(row) = row.row {
            changes.push(change(row)?);
        }
    }
    let position = match changes.last() {
        Some(last) if changes.len() as i64 >= limit => Position::within(last.xid, last.outbox_id as u64),
        _ => after.max(Position::before(horizon)),
    };
    Ok(SettledRows { changes, position, horizon })
}

/// The position at which polling begins without a stored one: the oldest transaction that still runs. All later commits
/// are of transactions from this one on.
///
/// # Errors
/// When the database refuses.
pub async fn horizon<C: GenericClient>(client: &C) -> Result<Position, OutboxError> {
    let xid = outbox::horizon(client).await.during("reading which transactions run")?;
    Ok(Position::before(xid.0))
}

/// The position behind every transaction that is committed and visible. A poller reaches it when all transactions that
/// began before the last of them have ended.
///
/// # Errors
/// When the database refuses.
pub async fn behind_all_committed<C: GenericClient>(client: &C) -> Result<Position, OutboxError> {
    let xid = outbox::behind_committed(client).await.during("reading which transactions run")?;
    Ok(Position::before(xid.0))
}

/// Reads up to `limit` rows that `snapshot` cannot see, in order of their ids, after the id `after`.
///
/// Rows that become visible while the pages are read may be missed: a source that was started before delivers them.
///
/// # Errors
/// When the database refuses, or a row is of an unknown kind.
pub async fn not_in<C: GenericClient>(
    client: &C,
    snapshot: &Snapshot,
    after: i64,
    limit: i64,
) -> Result<Vec<Change>, OutboxError> {
    let rows = outbox::not_in_snapshot(client, snapshot.as_str(), after, limit).await;
    rows.during("reading the outbox for recovery")?.into_iter().map(change).collect()
}

fn change(row: OutboxRow) -> Result<Change, OutboxError> {
    Ok(Change {
        outbox_id: row.outbox_id,
        xid: row.transaction_id.0,
        document_id: row.document_id,
        document_uuid: row.document_uuid,
        resource_key: row.resource_key,
        kind: row.kind.parse().map_err(|source| OutboxError::Row { outbox_id: row.outbox_id, source })?,
        content_version: row.content_version,
    })
}
