//! `dms.ProjectionProgress`: the position of each consumer in the outbox, and its fencing epoch.

use crate::connect::GenericClient;
use tokio_postgres::types::{PgLsn, ToSql};
use uuid::Uuid;

use super::query::{read_row, row_struct, sql};
use crate::error::StoreError;

const LOAD: &str = sql!("progress_load.sql");
const STORE: &str = sql!("progress_store.sql");
const NEXT_TERM: &str = sql!("progress_next_term.sql");
const TERM: &str = sql!("progress_term.sql");

row_struct! {
    /// A row of the table, without consumer and epoch. A relay that has taken over for the first time leaves all
    /// columns NULL until it stores something.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ProgressRow {
        /// The consumer's durable position.
        pub position: Option<PgLsn> = "Position",
        /// The watermark's `pg_snapshot`.
        pub watermark_snapshot: Option<String> = "WatermarkSnapshot",
        /// The watermark's end of the log.
        pub watermark_lsn: Option<PgLsn> = "WatermarkLsn",
        /// The server.
        pub system_identifier: Option<String> = "SystemIdentifier",
        /// The server's history.
        pub timeline: Option<i32> = "Timeline",
        /// The database.
        pub database: Option<Uuid> = "DatabaseUuid",
        /// The epoch of the queue that made the position durable.
        pub epoch: Option<Uuid> = "Epoch",
        /// The stream that the position belongs to.
        pub stream: Option<String> = "Stream",
        /// The history of the database that the position belongs to.
        pub history: i64 = "History",
    }
}

/// A consumer's progress, to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProgress<'a> {
    /// The consumer's durable position.
    pub position: PgLsn,
    /// The watermark; `None` keeps the stored one as long as the origin is the same.
    pub watermark: Option<(&'a str, PgLsn)>,
    /// The server.
    pub system_identifier: &'a str,
    /// The server's history.
    pub timeline: i32,
    /// The database.
    pub database: Uuid,
    /// The epoch of the queue.
    pub epoch: Uuid,
    /// The stream that the position belongs to.
    pub stream: Option<&'a str>,
    /// The history of the database.
    pub history: i64,
}

/// Reads a consumer's row.
pub async fn load<C: GenericClient>(client: &C, consumer: &str) -> Result<Option<ProgressRow>, StoreError> {
    client.query_opt(LOAD, &[&consumer]).await?.as_ref().map(read_row).transpose()
}

/// Stores a consumer's progress, if `term` is `None` or the row's; returns how many rows were written.
pub async fn store<C: GenericClient>(
    client: &C,
    consumer: &str,
    term: Option<i64>,
    progress: &NewProgress<'_>,
) -> Result<u64, StoreError> {
    let (snapshot, lsn) = progress.watermark.unzip();
    let params: [&(dyn ToSql + Sync); 11] = [
        &consumer,
        &progress.position,
        &snapshot,
        &lsn,
        &progress.system_identifier,
        &progress.timeline,
        &progress.database,
        &progress.epoch,
        &term,
        &progress.stream,
        &progress.history,
    ];
    client.execute(STORE, &params).await
}

/// Counts up a consumer's fencing epoch and returns the new one; the row is created if there is none.
pub async fn next_term<C: GenericClient>(client: &C, consumer: &str) -> Result<i64, StoreError> {
    Ok(client.query_one(NEXT_TERM, &[&consumer]).await?.try_get("Term")?)
}

/// Reads a consumer's fencing epoch; `None` if it has no row.
pub async fn term<C: GenericClient>(client: &C, consumer: &str) -> Result<Option<i64>, StoreError> {
    Ok(client.query_opt(TERM, &[&consumer]).await?.map(|row| row.try_get("Term")).transpose()?)
}
