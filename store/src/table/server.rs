//! Identity, snapshot and log position of the server. No statement here reads a table.

use crate::connect::GenericClient;
use tokio_postgres::types::PgLsn;

use super::query::{read_row, row_struct, sql};
use crate::error::StoreError;

/// The timeline is the one being written to, as `IDENTIFY_SYSTEM` reports it; the control file holds that of the last
/// checkpoint.
const IDENTITY: &str = sql!("server_identity.sql");
const SNAPSHOT: &str = sql!("server_snapshot.sql");
const INSTANCE: &str = sql!("server_instance.sql");
const WAL_END: &str = sql!("server_wal_end.sql");
const READ_ONLY: &str = sql!("server_read_only.sql");

row_struct! {
    /// The server and its history.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ServerIdentity {
        /// Made by `initdb`; a physical copy keeps it.
        pub system_identifier: String = "SystemIdentifier",
        /// Counts promotions.
        pub timeline: i32 = "Timeline",
    }
}

/// Reads the identity of the server. A standby refuses.
pub async fn identity<C: GenericClient>(client: &C) -> Result<ServerIdentity, StoreError> {
    read_row(&client.query_one(IDENTITY, &[]).await?)
}

/// Reads the current `pg_snapshot`, as text.
pub async fn snapshot<C: GenericClient>(client: &C) -> Result<String, StoreError> {
    Ok(client.query_one(SNAPSHOT, &[]).await?.try_get("Snapshot")?)
}

/// Reads the end of the log.
pub async fn wal_end<C: GenericClient>(client: &C) -> Result<PgLsn, StoreError> {
    Ok(client.query_one(WAL_END, &[]).await?.try_get("Lsn")?)
}

row_struct! {
    /// The run of a server and the tables on it: what was read from another one may no longer be true.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ServerInstance {
        /// When the server process was started, in microseconds since 1970. A restore, a crash and a failover to
        /// another server change it.
        pub started_us: i64 = "StartedUs",
        /// The oid of `dms."Document"`. Tables that were dropped and restored from a dump have another.
        pub table: u32 = "Table",
        /// The history of the database (`dms."EffectiveSchema"."History"`).
        pub history: i64 = "History",
    }
}

/// Reads the run of the server that this session is connected to.
///
/// # Errors
/// When the database fails.
pub async fn instance<C: GenericClient>(client: &C) -> Result<ServerInstance, StoreError> {
    let statement = client.prepare_cached(INSTANCE).await?;
    read_row(&client.query_one(&statement, &[]).await?)
}

/// Whether this session cannot write: the server is a standby, or transactions are read-only by default.
pub async fn is_read_only<C: GenericClient>(client: &C) -> Result<bool, StoreError> {
    Ok(client.query_one(READ_ONLY, &[]).await?.try_get("ReadOnly")?)
}
