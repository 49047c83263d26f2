//! The server's transactions: which of them a snapshot shows, which are running, and how far the log is flushed.

use crate::error::StoreError;
use crate::load::query_cached;
use crate::table::columns;
use deadpool_postgres::GenericClient;
use tokio_postgres::types::{FromSqlOwned, PgLsn, ToSql};

const NOT_VISIBLE_SQL: &str = include_str!("../../sql/table/transactions_not_visible.sql");
const RUNNING_SQL: &str = include_str!("../../sql/table/transactions_running.sql");
const ANY_RUNNING_SQL: &str = include_str!("../../sql/table/transactions_any_running.sql");
const FLUSHED_SQL: &str = r#"SELECT pg_current_wal_flush_lsn() AS "Flushed""#;

/// Returns those of the transactions that the current snapshot does not show. `X` is a type for `xid8`.
///
/// # Errors
/// When the database fails.
pub async fn not_visible<C, X>(client: &C, transactions: &[X]) -> Result<Vec<X>, StoreError>
where
    C: GenericClient,
    X: ToSql + FromSqlOwned + Sync,
{
    let rows = query_cached(client, NOT_VISIBLE_SQL, &[&transactions]).await?;
    let [index] = columns::indexes(&rows, ["TransactionId"])?;
    rows.iter().map(|row| Ok(row.try_get(index)?)).collect()
}

/// Ids of running transactions, for [`any_running`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningTransactions(Vec<String>);

/// Returns the transactions of this database that may still commit, prepared ones included.
///
/// # Errors
/// When the database fails.
pub async fn running<C: GenericClient>(client: &C) -> Result<RunningTransactions, StoreError> {
    let rows = query_cached(client, RUNNING_SQL, &[]).await?;
    Ok(RunningTransactions(columns::column(&rows, "TransactionId")?))
}

/// Returns whether any of the transactions is still running. Once it is not, every session sees how it ended.
///
/// # Errors
/// When the database fails.
pub async fn any_running<C: GenericClient>(client: &C, transactions: &RunningTransactions) -> Result<bool, StoreError> {
    if transactions.0.is_empty() {
        return Ok(false);
    }
    let statement = client.prepare_cached(ANY_RUNNING_SQL).await?;
    Ok(client.query_one(&statement, &[&transactions.0]).await?.try_get("AnyRunning")?)
}

/// Returns the position up to which the server's log is on disk.
///
/// # Errors
/// When the database fails.
pub async fn flushed_lsn<C: GenericClient>(client: &C) -> Result<u64, StoreError> {
    let lsn: PgLsn = client.query_one(FLUSHED_SQL, &[]).await?.try_get("Flushed")?;
    Ok(lsn.into())
}
