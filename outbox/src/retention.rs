//! Retention of change records: partitions are created before they are needed and dropped as a whole when recovery
//! can no longer need them.
//!
//! A row is kept until it is older than the cut-off **and** visible in the snapshot of the recovery watermark: rows
//! that the snapshot cannot see would have to be replayed if the slot were lost.

use std::time::SystemTime;

use millstream_store::connect::{Connection, GenericClient};
use millstream_store::error::{ErrorKind, StoreError};
use millstream_store::table::outbox_partition::{self as partition, Partition};
use tokio_postgres::error::SqlState;

use crate::error::{During, OutboxError};
use crate::progress::Snapshot;

/// The number of outbox ids of a partition.
pub const PARTITION_IDS: i64 = 1_000_000;

/// Maximum number of rows that one call deletes from the default partition.
const DEFAULT_ROWS_MAX: i64 = 100_000;

/// The outcome of [`prune`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names of the partitions that were dropped.
    pub dropped: Vec<String>,
    /// Number of rows that were deleted from the default partition.
    pub deleted: u64,
    /// Names of partitions that could go but were locked; the next call tries again.
    pub busy: Vec<String>,
}

/// Creates the index that polling needs, unless it exists. Logical replication works without it, and spares writers its
/// maintenance. Writers wait while it is created; if it exists, they do not.
///
/// # Errors
/// When the database refuses, for example because the role does not own the table.
pub async fn ensure_polling_index<C: GenericClient>(client: &C) -> Result<(), OutboxError> {
    partition::ensure_polling_index(client).await.during("making the index for polling")
}

/// Creates partitions for the ids that are being drawn now and `ahead` partitions more. Returns the names of new ones.
///
/// If the default partition already holds rows of a range, the range is left to it; those rows go when they are old.
///
/// # Errors
/// When the database refuses. A lock that is not granted in time is such an error; try again later.
pub async fn ensure_partitions(client: &mut Connection, ahead: u32) -> Result<Vec<String>, OutboxError> {
    const ACTION: &str = "making partitions of the outbox";
    let last = last_id(client).await?;
    let existing = partitions(client).await?;
    let current = last.div_euclid(PARTITION_IDS);
    let mut created = Vec::new();
    for number in current..=current + i64::from(ahead) {
        let (from, to) = (number * PARTITION_IDS, (number + 1) * PARTITION_IDS);
        if existing.iter().any(|partition| partition.from < to && from < partition.to) {
            continue;
        }
        let new = Partition { name: format!("Outbox_{number}"), from, to };
        let transaction = client.transaction().await.during(ACTION)?;
        match partition::attach(&transaction, &new).await {
            Ok(()) => {
                transaction.commit().await.during(ACTION)?;
                created.push(new.name);
            }
            Err(error) if error.sqlstate() == Some(SqlState::CHECK_VIOLATION.code()) => {
                transaction.rollback().await.during(ACTION)?;
                tracing::warn!(
                    from,
                    to,
                    "the outbox's default partition already holds rows of this range and keeps it"
                );
            }
            Err(source) => return Err(OutboxError::Database { action: ACTION, source }),
        }
    }
    Ok(created)
}

/// Drops partitions, and deletes rows of the default partition, that are older than `cutoff` and visible in
/// `watermark`. Without a watermark it removes nothing.
///
/// # Errors
/// When the database refuses.
pub async fn prune(
    client: &mut Connection,
    cutoff: SystemTime,
    watermark: Option<&Snapshot>,
) -> Result<Pruned, OutboxError> {
    let mut pruned = Pruned::default();
    let Some(watermark) = watermark else { return Ok(pruned) };
    let last = last_id(client).await?;
    for partition in partitions(client).await? {
        // A transaction may still hold ids of the range that is being drawn from.
        if partition.to > last.div_euclid(PARTITION_IDS) * PARTITION_IDS {
            continue;
        }
        match drop_if_unneeded(client, &partition.name, cutoff, watermark).await {
            Ok(true) => pruned.dropped.push(partition.name),
            Ok(false) => {}
            Err(source) if *source.kind() == ErrorKind::LockTimeout => pruned.busy.push(partition.name),
            Err(source) => return Err(OutboxError::Database { action: "dropping a partition of the outbox", source }),
        }
    }
    pruned.deleted = prune_default(client, cutoff, watermark).await?;
    Ok(pruned)
}

/// The lock waits for transactions that still write to this old partition and keeps out later ones; with it held, a new
/// statement sees all rows that the partition will ever have.
async fn drop_if_unneeded(
    client: &mut Connection,
    name: &str,
    cutoff: SystemTime,
    watermark: &Snapshot,
) -> Result<bool, StoreError> {
    if partition::is_needed(client, name, cutoff, watermark.as_str()).await? {
        return Ok(false);
    }
    let transaction = client.transaction().await?;
    partition::lock(&transaction, name).await?;
    if partition::is_needed(&transaction, name, cutoff, watermark.as_str()).await? {
        transaction.rollback().await?;
        return Ok(false);
    }
    partition::drop(&transaction, name).await?;
    transaction.commit().await?;
    Ok(true)
}

async fn prune_default(client: &Connection, cutoff: SystemTime, watermark: &Snapshot) -> Result<u64, OutboxError> {
    const ACTION: &str = "deleting old rows of the outbox's default partition";
    let Some(name) = partition::default_partition(client).await.during(ACTION)? else { return Ok(0) };
    partition::prune(client, &name, cutoff, watermark.as_str(), DEFAULT_ROWS_MAX).await.during(ACTION)
}

async fn last_id(client: &Connection) -> Result<i64, OutboxError> {
    partition::last_id(client).await.during("reading the outbox's sequence")
}

async fn partitions(client: &Connection) -> Result<Vec<Partition>, OutboxError> {
    partition::partitions(client).await.during("listing the outbox's partitions")
}
