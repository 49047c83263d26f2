//! The partitions of `dms.Outbox`, and the index that polling needs.

use std::time::SystemTime;

use crate::connect::GenericClient;

use super::query::{read_rows, row_struct, sql};
use crate::error::StoreError;

const LAST_ID: &str = sql!("outbox_last_id.sql");
const HAS_POLLING_INDEX: &str = sql!("outbox_has_polling_index.sql");
const CREATE_POLLING_INDEX: &str = sql!("ddl/outbox_polling_index.sql");
const PARTITIONS: &str = sql!("outbox_partitions.sql");
const DEFAULT_PARTITION: &str = sql!("outbox_default_partition.sql");
const NEEDED: &str = sql!("outbox_partition_needed.sql");
const PRUNE: &str = sql!("outbox_partition_prune.sql");
/// Creating the table apart and attaching it lets writers go on: neither lock blocks them.
const ATTACH: &str = sql!("ddl/outbox_partition_attach.sql");
const LOCK: &str = sql!("ddl/outbox_partition_lock.sql");
const DROP: &str = sql!("ddl/outbox_partition_drop.sql");

/// Maintenance gives up waiting for a lock after this time, lets writers pass and tries again in its next run.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '500ms'";

/// The same for a lock that all writers wait behind.
const DROP_LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '50ms'";

row_struct! {
    /// A partition with a range of outbox ids.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Partition {
        /// Unqualified name.
        pub name: String = "Name",
        /// First id.
        pub from: i64 = "From",
        /// First id behind it.
        pub to: i64 = "To",
    }
}

/// Reads the last id that was drawn, 0 if none was.
pub async fn last_id<C: GenericClient>(client: &C) -> Result<i64, StoreError> {
    Ok(client.query_one(LAST_ID, &[]).await?.try_get("OutboxId")?)
}

/// Creates the index on (transaction, id) unless it exists. Even `IF NOT EXISTS` would take the table lock, so the
/// catalog is asked first.
pub async fn ensure_polling_index<C: GenericClient>(client: &C) -> Result<(), StoreError> {
    if client.query_one(HAS_POLLING_INDEX, &[]).await?.try_get("Exists")? {
        return Ok(());
    }
    client.batch_execute(CREATE_POLLING_INDEX).await
}

/// Reads the partitions with a range, whatever their names, in order of their ranges.
pub async fn partitions<C: GenericClient>(client: &C) -> Result<Vec<Partition>, StoreError> {
    read_rows(&client.query(PARTITIONS, &[]).await?)
}

/// Reads the name of the default partition.
pub async fn default_partition<C: GenericClient>(client: &C) -> Result<Option<String>, StoreError> {
    Ok(client.query_opt(DEFAULT_PARTITION, &[]).await?.map(|row| row.try_get("Name")).transpose()?)
}

/// Creates a partition and attaches it, in the caller's transaction.
pub async fn attach<C: GenericClient>(client: &C, partition: &Partition) -> Result<(), StoreError> {
    client.batch_execute(LOCK_TIMEOUT).await?;
    let sql = ATTACH
        .replace("{partition}", &partition.name)
        .replace("{from}", &partition.from.to_string())
        .replace("{to}", &partition.to.to_string());
    client.batch_execute(&sql).await
}

/// Locks a partition against writers, in the caller's transaction.
pub async fn lock<C: GenericClient>(client: &C, name: &str) -> Result<(), StoreError> {
    client.batch_execute(LOCK_TIMEOUT).await?;
    client.batch_execute(&LOCK.replace("{partition}", name)).await
}

/// Drops a partition, in the caller's transaction.
///
/// This needs the table itself for a moment, and all writers wait behind a lock that waits. So it hardly waits. (The
/// partition cannot be detached concurrently: PostgreSQL refuses that for a table with a default partition.)
pub async fn drop<C: GenericClient>(client: &C, name: &str) -> Result<(), StoreError> {
    client.batch_execute(DROP_LOCK_TIMEOUT).await?;
    client.batch_execute(&DROP.replace("{partition}", name)).await
}

/// Whether a partition holds a row that is younger than `cutoff`, or that `snapshot` cannot see.
pub async fn is_needed<C: GenericClient>(
    client: &C,
    name: &str,
    cutoff: SystemTime,
    snapshot: &str,
) -> Result<bool, StoreError> {
    let sql = NEEDED.replace("{partition}", name);
    Ok(client.query_one(&sql, &[&cutoff, &snapshot]).await?.try_get("Needed")?)
}

/// Deletes up to `limit` rows of a partition that are older than `cutoff` and visible in `snapshot`; returns how many.
pub async fn prune<C: GenericClient>(
    client: &C,
    name: &str,
    cutoff: SystemTime,
    snapshot: &str,
    limit: i64,
) -> Result<u64, StoreError> {
    client.execute(&PRUNE.replace("{partition}", name), &[&cutoff, &snapshot, &limit]).await
}
