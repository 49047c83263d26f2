//! How long change records are kept: partitions are made before they are needed and dropped as a whole when nobody can
//! need them any more.
//!
//! A row is kept until it is older than the cut-off **and** visible in the snapshot of the recovery watermark: what that
//! cannot see would have to be replayed if the slot were lost.

use std::time::SystemTime;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, GenericClient, Transaction};

use crate::OutboxError;
use crate::progress::Snapshot;

/// How many outbox ids a partition holds.
pub const PARTITION_IDS: i64 = 1_000_000;

/// How long maintenance waits for a lock before it lets writers pass and tries again at its next turn.
const LOCK_TIMEOUT_SQL: &str = "SET LOCAL lock_timeout = '500ms'";

/// How many rows of the default partition one call deletes at most.
const DEFAULT_ROWS_MAX: i64 = 100_000;

/// What [`prune`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names of the partitions that were dropped.
    pub dropped: Vec<String>,
    /// Rows that were deleted from the default partition.
    pub deleted: u64,
    /// Names of partitions that could go but were locked; the next call tries again.
    pub busy: Vec<String>,
}

/// A partition with a range.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Partition {
    name: String,
    from: i64,
    to: i64,
}

/// Makes the index that polling needs, once. Logical replication does without it, and writers without its upkeep. While
/// it is made, writers wait; where it is there already, nobody does.
///
/// # Errors
/// When the database refuses, for want of ownership of the table.
pub async fn ensure_polling_index<C: GenericClient + Sync>(client: &C) -> Result<(), OutboxError> {
    const ACTION: &str = "making the index for polling";
    const THERE_SQL: &str = r#"SELECT to_regclass('"dms"."IX_Outbox_Transaction"') IS NOT NULL"#;
    const MAKE_SQL: &str =
        r#"CREATE INDEX IF NOT EXISTS "IX_Outbox_Transaction" ON "dms"."Outbox" ("TransactionId", "OutboxId")"#;
    let row = client.query_one(THERE_SQL, &[]).await;
    // Even `IF NOT EXISTS` would take the lock first.
    if row.and_then(|row| row.try_get(0)).map_err(OutboxError::database(ACTION))? {
        return Ok(());
    }
    client.batch_execute(MAKE_SQL).await.map_err(OutboxError::database(ACTION))
}

/// Makes partitions for the ids that are being drawn now and for `ahead` partitions more. Answers the names of new ones.
///
/// A range of which the default partition already holds rows is left to it; those rows go when they are old.
///
/// # Errors
/// When the database refuses. A lock that is not free in time is such an error, and worth trying again later.
pub async fn ensure_partitions(client: &mut Client, ahead: u32) -> Result<Vec<String>, OutboxError> {
    const ACTION: &str = "making partitions of the outbox";
    let last = last_outbox_id(client).await?;
    let existing = partitions(client).await?;
    let current = last.div_euclid(PARTITION_IDS);
    let mut made = Vec::new();
    for number in current..=current + i64::from(ahead) {
        let (from, to) = (number * PARTITION_IDS, (number + 1) * PARTITION_IDS);
        if existing.iter().any(|partition| partition.from < to && from < partition.to) {
            continue;
        }
        let name = format!("Outbox_{number}");
        let transaction = client.transaction().await.map_err(OutboxError::database(ACTION))?;
        match attach(&transaction, &name, from, to).await {
            Ok(()) => {
                transaction.commit().await.map_err(OutboxError::database(ACTION))?;
                made.push(name);
            }
            Err(error) if error.code() == Some(&SqlState::CHECK_VIOLATION) => {
                transaction.rollback().await.map_err(OutboxError::database(ACTION))?;
                tracing::warn!(from, to, "the outbox's default partition holds these ids already and keeps them");
            }
            Err(source) => return Err(OutboxError::Database { action: ACTION, source }),
        }
    }
    Ok(made)
}

/// Creating the table apart and attaching it lets writers go on: they are blocked by neither lock.
async fn attach(transaction: &Transaction<'_>, name: &str, from: i64, to: i64) -> Result<(), tokio_postgres::Error> {
    transaction.batch_execute(LOCK_TIMEOUT_SQL).await?;
    let sql = format!(
        r#"CREATE TABLE "dms"."{name}" (LIKE "dms"."Outbox" INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
           ALTER TABLE "dms"."Outbox" ATTACH PARTITION "dms"."{name}" FOR VALUES FROM ({from}) TO ({to})"#
    );
    transaction.batch_execute(&sql).await
}

/// Drops partitions, and deletes rows of the default partition, that are older than `cutoff` and visible in `watermark`.
/// Without a watermark nothing goes.
///
/// # Errors
/// When the database refuses.
pub async fn prune(
    client: &mut Client,
    cutoff: SystemTime,
    watermark: Option<&Snapshot>,
) -> Result<Pruned, OutboxError> {
    let mut pruned = Pruned::default();
    let Some(watermark) = watermark else { return Ok(pruned) };
    let last = last_outbox_id(client).await?;
    for partition in partitions(client).await? {
        // A transaction may still hold ids of the range that is being drawn from.
        if partition.to > last.div_euclid(PARTITION_IDS) * PARTITION_IDS {
            continue;
        }
        match drop_if_unneeded(client, &partition.name, cutoff, watermark).await {
            Ok(true) => pruned.dropped.push(partition.name),
            Ok(false) => {}
            Err(source) if source.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => pruned.busy.push(partition.name),
            Err(source) => return Err(OutboxError::Database { action: "dropping a partition of the outbox", source }),
        }
    }
    pruned.deleted = prune_default(client, cutoff, watermark).await?;
    Ok(pruned)
}

/// The lock waits for whoever still writes to this old partition and keeps out who comes late; with it held, a new
/// statement sees all there will ever be.
async fn drop_if_unneeded(
    client: &mut Client,
    name: &str,
    cutoff: SystemTime,
    watermark: &Snapshot,
) -> Result<bool, tokio_postgres::Error> {
    if needed(client, name, cutoff, watermark).await? {
        return Ok(false);
    }
    let transaction = client.transaction().await?;
    transaction.batch_execute(LOCK_TIMEOUT_SQL).await?;
    transaction.batch_execute(&format!(r#"LOCK TABLE "dms"."{name}" IN SHARE MODE"#)).await?;
    if needed(&transaction, name, cutoff, watermark).await? {
        transaction.rollback().await?;
        return Ok(false);
    }
    transaction.batch_execute(&format!(r#"DROP TABLE "dms"."{name}""#)).await?;
    transaction.commit().await?;
    Ok(true)
}

async fn needed<C: GenericClient + Sync>(
    client: &C,
    name: &str,
    cutoff: SystemTime,
    watermark: &Snapshot,
) -> Result<bool, tokio_postgres::Error> {
    let sql = format!(
        r#"
SELECT EXISTS (SELECT FROM "dms"."{name}" AS o
                WHERE o."CreatedAt" >= $1::timestamptz
                   OR NOT pg_visible_in_snapshot(o."TransactionId", $2::text::pg_snapshot))"#
    );
    client.query_one(&sql, &[&cutoff, &watermark.as_str()]).await?.try_get(0)
}

async fn prune_default(client: &Client, cutoff: SystemTime, watermark: &Snapshot) -> Result<u64, OutboxError> {
    const ACTION: &str = "deleting old rows of the outbox's default partition";
    let name = client
        .query_opt(
            r#"
SELECT c.relname::text FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
 WHERE i.inhparent = '"dms"."Outbox"'::regclass AND pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT'"#,
            &[],
        )
        .await
        .map_err(OutboxError::database(ACTION))?;
    let Some(name) = name else { return Ok(0) };
    let name: String = name.try_get(0).map_err(OutboxError::database(ACTION))?;
    let sql = format!(
        r#"
DELETE FROM "dms"."{name}" WHERE "OutboxId" IN (
       SELECT o."OutboxId" FROM "dms"."{name}" AS o
        WHERE o."CreatedAt" < $1::timestamptz AND pg_visible_in_snapshot(o."TransactionId", $2::text::pg_snapshot)
        LIMIT $3::int8)"#
    );
    let params: [&(dyn ToSql + Sync); 3] = [&cutoff, &watermark.as_str(), &DEFAULT_ROWS_MAX];
    client.execute(&sql, &params).await.map_err(OutboxError::database(ACTION))
}

async fn last_outbox_id<C: GenericClient + Sync>(client: &C) -> Result<i64, OutboxError> {
    const ACTION: &str = "reading the outbox's sequence";
    let row = client
        .query_one(
            r#"SELECT COALESCE(pg_sequence_last_value(pg_get_serial_sequence('"dms"."Outbox"', 'OutboxId')::regclass), 0)"#,
            &[],
        )
        .await;
    row.and_then(|row| row.try_get(0)).map_err(OutboxError::database(ACTION))
}

/// The partitions with a range, whatever they are called, by their ranges.
async fn partitions<C: GenericClient + Sync>(client: &C) -> Result<Vec<Partition>, OutboxError> {
    const ACTION: &str = "listing the outbox's partitions";
    let rows = client
        .query(
            r#"
SELECT p.name, (p.bounds)[1]::int8, (p.bounds)[2]::int8
  FROM (SELECT c.relname::text AS name,
               regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \('?(\d+)'?\) TO \('?(\d+)'?\)$$) AS bounds
          FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
         WHERE i.inhparent = '"dms"."Outbox"'::regclass) AS p
 WHERE p.bounds IS NOT NULL
 ORDER BY 2"#,
            &[],
        )
        .await
        .map_err(OutboxError::database(ACTION))?;
    let partition =
        |row: &tokio_postgres::Row| Ok(Partition { name: row.try_get(0)?, from: row.try_get(1)?, to: row.try_get(2)? });
    rows.iter().map(|row| partition(row).map_err(OutboxError::database(ACTION))).collect()
}
