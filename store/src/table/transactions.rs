//! The server's transactions: which of them a snapshot shows and which are running.

use super::query::{query_cached, read_column, sql};
use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::xid::Xid8;

const NOT_VISIBLE_SQL: &str = sql!("transactions_not_visible.sql");
const RUNNING_SQL: &str = sql!("transactions_running.sql");
const ANY_RUNNING_SQL: &str = sql!("transactions_any_running.sql");

/// Returns those of the transactions that the current snapshot does not show.
///
/// # Errors
/// When the database fails.
pub async fn not_visible<C: GenericClient>(client: &C, transactions: &[Xid8]) -> Result<Vec<Xid8>, StoreError> {
    read_column(&query_cached(client, NOT_VISIBLE_SQL, &[&transactions]).await?, "TransactionId")
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
    Ok(RunningTransactions(read_column(&rows, "TransactionId")?))
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
