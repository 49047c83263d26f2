//! Statements on a pooled connection and in its transactions.

use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use futures::TryStreamExt;
use tokio::task::JoinHandle;
use tokio_postgres::{
    IsolationLevel, Row, RowStream, Statement, ToStatement,
    types::{ToSql, Type},
};

use super::{trust::Verdict, watch::SessionState};
use crate::error::StoreError;

/// Parameters of a statement.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection with its prepared statements. Its own methods watch the statement: one that is abandoned takes the
/// connection out of the pool. Those of the driver, which it dereferences to, do not.
pub struct Connection {
    client: tokio_postgres::Client,
    driver: JoinHandle<()>,
    state: Arc<SessionState>,
}

impl Connection {
    pub(super) fn new(client: tokio_postgres::Client, driver: JoinHandle<()>, state: SessionState) -> Self {
        Self { client, driver, state: Arc::new(state) }
    }

    /// Whether another caller may use it.
    pub(super) fn is_usable(&self) -> bool {
        self.state.is_usable() && !self.client.is_closed()
    }

    /// Whether the server is there as far as is known; asks it after a time without use, or when another session of the
    /// pool was lost.
    pub(super) async fn is_proven(&self, unused: Duration) -> bool {
        match self.state.verdict(unused) {
            Verdict::Use => true,
            Verdict::Ask => self.state.answers(&self.client).await,
            Verdict::Close => false,
        }
    }

    /// Sets the limit on this side of each further statement, until the connection is given back.
    pub fn set_statement_limit(&self, limit: Option<Duration>) {
        self.state.set_limit(limit);
    }

    /// Keeps the connection from being used again after it is given back.
    pub fn discard(&self) {
        self.state.discard();
    }

    /// Begins a transaction of isolation level `READ COMMITTED`. Dropping it rolls back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn transaction(&mut self) -> Result<Transaction<'_>, StoreError> {
        self.build_transaction().start().await
    }

    /// Begins a read-only transaction whose statements all see one snapshot. Dropping it rolls back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn snapshot(&mut self) -> Result<Transaction<'_>, StoreError> {
        self.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await
    }

    /// A transaction with other properties; `READ COMMITTED` unless another level is named.
    pub fn build_transaction(&mut self) -> TransactionBuilder<'_> {
        let builder = self.client.build_transaction().isolation_level(IsolationLevel::ReadCommitted);
        TransactionBuilder { builder, state: Arc::clone(&self.state) }
    }
}

impl Deref for Connection {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("state", &self.state).finish_non_exhaustive()
    }
}

/// The properties of a transaction.
#[must_use = "a transaction begins with `start`"]
pub struct TransactionBuilder<'a> {
    builder: tokio_postgres::TransactionBuilder<'a>,
    state: Arc<SessionState>,
}

impl<'a> TransactionBuilder<'a> {
    /// Sets the isolation level.
    pub fn isolation_level(self, level: IsolationLevel) -> Self {
        Self { builder: self.builder.isolation_level(level), state: self.state }
    }

    /// Sets whether it may write.
    pub fn read_only(self, read_only: bool) -> Self {
        Self { builder: self.builder.read_only(read_only), state: self.state }
    }

    /// Begins the transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(self) -> Result<Transaction<'a>, StoreError> {
        let transaction = self.state.watch(self.builder.start()).await?;
        Ok(Transaction { transaction, state: self.state })
    }
}

impl fmt::Debug for TransactionBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionBuilder").finish_non_exhaustive()
    }
}

/// A transaction; dropping it rolls back.
pub struct Transaction<'a> {
    transaction: tokio_postgres::Transaction<'a>,
    state: Arc<SessionState>,
}

impl<'a> Transaction<'a> {
    /// Commits.
    ///
    /// # Errors
    /// When the database fails; [`ErrorKind::OutcomeUnknown`](crate::error::ErrorKind::OutcomeUnknown) when the
    /// connection broke.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.state.watch(self.transaction.commit()).await.map_err(StoreError::of_commit)
    }

    /// Rolls back.
    ///
    /// # Errors
    /// When the database fails; the transaction ends with its session then.
    pub async fn rollback(self) -> Result<(), StoreError> {
        self.state.watch(self.transaction.rollback()).await
    }
}

impl<'a> Deref for Transaction<'a> {
    type Target = tokio_postgres::Transaction<'a>;

    fn deref(&self) -> &Self::Target {
        &self.transaction
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("state", &self.state).finish_non_exhaustive()
    }
}

/// Gives a type the watched statements, each boxed: the driver's futures are large, and callers nest them. `$driver` is
/// its field with the driver's client or transaction.
macro_rules! watched_statements {
    ($type:ty, $driver:ident) => {
        /// Watched statements. Each fails when the database does.
        impl $type {
            /// Returns all rows.
            pub async fn query<T>(&self, statement: &T, parameters: Parameters<'_>) -> Result<Vec<Row>, StoreError>
            where
                T: ?Sized + ToStatement + Sync,
            {
                self.state.watch(Box::pin(self.$driver.query(statement, parameters))).await
            }

            /// Returns the rows before the first that `take` refuses; the others are discarded as they arrive.
            pub async fn query_while<T>(
                &self,
                statement: &T,
                parameters: Parameters<'_>,
                take: impl FnMut(&Row) -> bool + Send,
            ) -> Result<Vec<Row>, StoreError>
            where
                T: ?Sized + ToStatement + Sync,
            {
                self.state.watch(Box::pin(rows_while(self.$driver.query_raw(statement, each(parameters)), take))).await
            }

            /// Returns the only row; another number of rows is an error.
            pub async fn query_one<T>(&self, statement: &T, parameters: Parameters<'_>) -> Result<Row, StoreError>
            where
                T: ?Sized + ToStatement + Sync,
            {
                self.state.watch(Box::pin(self.$driver.query_one(statement, parameters))).await
            }

            /// Returns the only row, if there is one; several rows are an error.
            pub async fn query_opt<T>(
                &self,
                statement: &T,
                parameters: Parameters<'_>,
            ) -> Result<Option<Row>, StoreError>
            where
                T: ?Sized + ToStatement + Sync,
            {
                self.state.watch(Box::pin(self.$driver.query_opt(statement, parameters))).await
            }

            /// Returns the number of rows that the statement changed.
            pub async fn execute<T>(&self, statement: &T, parameters: Parameters<'_>) -> Result<u64, StoreError>
            where
                T: ?Sized + ToStatement + Sync,
            {
                self.state.watch(Box::pin(self.$driver.execute(statement, parameters))).await
            }

            /// Runs statements without parameters, separated by semicolons.
            pub async fn batch_execute(&self, sql: &str) -> Result<(), StoreError> {
                self.state.watch(Box::pin(self.$driver.batch_execute(sql))).await
            }

            /// Prepares a statement, or returns it if the connection keeps it prepared.
            pub async fn prepare_cached(&self, sql: &str) -> Result<Statement, StoreError> {
                if let Some(statement) = self.state.statements.get(sql) {
                    return Ok(statement);
                }
                let statement = self.state.watch(Box::pin(self.$driver.prepare(sql))).await?;
                self.state.statements.put(sql, statement.clone());
                Ok(statement)
            }

            /// Prepares a statement whose parameters have these types. It is closed after its last use.
            pub async fn prepare_typed(&self, sql: &str, types: &[Type]) -> Result<Statement, StoreError> {
                self.state.watch(Box::pin(self.$driver.prepare_typed(sql, types))).await
            }
        }
    };
}

watched_statements!(Connection, client);
watched_statements!(Transaction<'_>, transaction);

/// The parameters as the driver's streams take them.
pub(super) fn each<'a>(parameters: Parameters<'a>) -> impl ExactSizeIterator<Item = &'a dyn ToSql> + 'a {
    parameters.iter().map(|parameter| *parameter as &dyn ToSql)
}

/// Reads rows until `take` refuses one. The driver discards what the server still sends.
pub(super) async fn rows_while(
    rows: impl Future<Output = Result<RowStream, tokio_postgres::Error>>,
    mut take: impl FnMut(&Row) -> bool,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let mut rows = std::pin::pin!(rows.await?);
    let mut taken = Vec::new();
    while let Some(row) = rows.try_next().await? {
        if !take(&row) {
            break;
        }
        taken.push(row);
    }
    Ok(taken)
}
