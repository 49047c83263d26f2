//! The history of the database: which server and database a session talks to, and whether it has lost commits.

use crate::connect::{Connection, GenericClient};
use tokio_postgres::types::PgLsn;
use uuid::Uuid;

use super::query::{read_column, read_row, row_struct, sql};
use crate::error::StoreError;
use crate::transaction::locks::RENAME_LOCK;

const STATE: &str = sql!("history_state.sql");
const READ: &str = sql!("history_read.sql");
const NUMBER: &str = sql!("history_number.sql");
const OF_CONSUMER: &str = sql!("history_of_consumer.sql");
const CAUGHT_UP: &str = sql!("history_caught_up.sql");
const RAISE_VERSION: &str = sql!("history_raise_version.sql");
const TRY_RENAME_LOCK: &str = sql!("history_try_rename_lock.sql");
const STAMP: &str = sql!("history_stamp.sql");
const BEGIN: &str = sql!("history_begin.sql");

/// Versions and DocumentIds skipped when a new history begins. Those of a tail of commits that a standby lacked are then
/// given out to no other document.
const SKIPPED: i64 = 1_000_000;

row_struct! {
    /// The state of the server, readable on a standby and before the tables exist.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ServerState {
        /// The server is a standby: it accepts no write.
        pub in_recovery: bool = "InRecovery",
        /// `dms."EffectiveSchema"` exists, with its history.
        pub provisioned: bool = "Provisioned",
    }
}

row_struct! {
    /// The identity of server and database, and how far they have come.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct DatabaseState {
        /// Made by `initdb`; a physical copy keeps it.
        pub system_identifier: String = "SystemIdentifier",
        /// Counts promotions.
        pub timeline: i32 = "Timeline",
        /// `dms."EffectiveSchema"."DatabaseUuid"`.
        pub database: Uuid = "DatabaseUuid",
        /// The number of the history.
        pub history: i64 = "History",
        /// The end of the log on disk.
        pub lsn: PgLsn = "Lsn",
        /// The largest version drawn.
        pub version: i64 = "Version",
        /// The largest DocumentId drawn.
        pub document_id: i64 = "DocumentId",
    }
}

/// Reads the state of the server.
///
/// # Errors
/// When the database fails.
pub async fn server_state<C: GenericClient>(client: &C) -> Result<ServerState, StoreError> {
    read_row(&client.query_one(STATE, &[]).await?)
}

/// Reads the state of a provisioned database; `None` if it was never provisioned. A standby refuses.
///
/// # Errors
/// When the database fails.
pub async fn read<C: GenericClient>(client: &C) -> Result<Option<DatabaseState>, StoreError> {
    client.query_opt(READ, &[]).await?.as_ref().map(read_row).transpose()
}

/// Reads the number of the history; 0 if the database was never provisioned.
///
/// # Errors
/// When the database fails.
pub async fn number<C: GenericClient>(client: &C) -> Result<i64, StoreError> {
    let row = client.query_opt(NUMBER, &[]).await?;
    Ok(row.map(|row| row.try_get("History")).transpose()?.unwrap_or(0))
}

/// Begins a new history after `known`, unless another process has begun one since. It draws neither a version up to
/// `version` nor a DocumentId up to `document_id`, the largest that are known of the lost history; its number is larger
/// than `above`. Returns whether it has begun.
///
/// # Errors
/// When the database fails.
pub async fn begin<C: GenericClient>(
    client: &C,
    known: i64,
    above: i64,
    version: i64,
    document_id: i64,
) -> Result<bool, StoreError> {
    let begun = client.query_opt(BEGIN, &[&known, &above, &version, &document_id, &SKIPPED]).await?;
    Ok(begun.is_some())
}

row_struct! {
    /// The history of the database, and that which a consumer has caught up with.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ConsumerHistory {
        /// The current one.
        pub current: i64 = "Current",
        /// The consumer's; 0 if it never recorded any.
        pub caught_up: i64 = "CaughtUp",
    }
}

/// Reads the history of the database and that of a consumer.
///
/// # Errors
/// When the database fails, or was never provisioned.
pub async fn of_consumer<C: GenericClient>(client: &C, consumer: &str) -> Result<ConsumerHistory, StoreError> {
    read_row(&client.query_one(OF_CONSUMER, &[&consumer]).await?)
}

/// Records that a consumer has caught up with `history`. Returns whether that is still the current one.
///
/// # Errors
/// When the database fails.
pub async fn caught_up<C: GenericClient>(client: &C, consumer: &str, history: i64) -> Result<bool, StoreError> {
    Ok(client.execute(CAUGHT_UP, &[&consumer, &history]).await? == 1)
}

/// Gives documents new versions, above `above` and above every version drawn, and appends them to the outbox as touched.
/// Their rows do not change. Returns the documents that it has stamped: those that another transaction holds, and all
/// while an identity changes, are left for a later call.
///
/// The version is drawn under the lock of renames, so no rename can become visible between it and the body that carries
/// it (docs/design/rules.md#rule-1); for the same reason no identity lock is needed.
///
/// # Errors
/// When the database fails; nothing is stamped then.
pub async fn stamp(client: &mut Connection, uuids: &[Uuid], above: i64) -> Result<Vec<Uuid>, StoreError> {
    let transaction = client.transaction().await?;
    if !transaction.query_one(TRY_RENAME_LOCK, &[&RENAME_LOCK]).await?.try_get::<_, bool>("Locked")? {
        return Ok(Vec::new());
    }
    // Raised under the lock and with a margin, as when a history begins: writers draw versions meanwhile, and none may be
    // given out twice.
    transaction.execute(RAISE_VERSION, &[&above, &SKIPPED]).await?;
    // A statement after the lock: it sees every rename that has drawn a version.
    let stamped = read_column(&transaction.query(STAMP, &[&uuids]).await?, "DocumentUuid")?;
    transaction.commit().await?;
    Ok(stamped)
}
