//! Identity, snapshot and log position of the server. No statement here reads a table.

use tokio_postgres::GenericClient;
use tokio_postgres::types::PgLsn;

use super::query::{read_row, row_struct, sql};
use crate::error::StoreError;

/// The timeline is the one being written to, as `IDENTIFY_SYSTEM` reports it; the control file holds that of the last
/// checkpoint.
const IDENTITY: &str = sql!("server_identity.sql");
const SNAPSHOT: &str = sql!("server_snapshot.sql");
const WAL_FLUSHED: &str = sql!("server_wal_flushed.sql");
const WAL_END: &str = sql!("server_wal_end.sql");

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
pub async fn identity<C: GenericClient + Sync>(client: &C) -> Result<ServerIdentity, StoreError> {
    read_row(&client.query_one(IDENTITY, &[]).await?)
}

/// Reads the current `pg_snapshot`, as text.
pub async fn snapshot<C: GenericClient + Sync>(client: &C) -> Result<String, StoreError> {
    Ok(client.query_one(SNAPSHOT, &[]).await?.try_get("Snapshot")?)
}

/// Reads the end of the log.
pub async fn wal_end<C: GenericClient + Sync>(client: &C) -> Result<PgLsn, StoreError> {
    Ok(client.query_one(WAL_END, &[]).await?.try_get("Lsn")?)
}

/// Reads the position up to which the log is on disk.
pub async fn wal_flushed<C: GenericClient + Sync>(client: &C) -> Result<PgLsn, StoreError> {
    Ok(client.query_one(WAL_FLUSHED, &[]).await?.try_get("Lsn")?)
}
