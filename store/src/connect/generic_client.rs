//! The statements that connections and transactions have in common.

use tokio_postgres::{Row, Statement, ToStatement, types::Type};

use super::{
    client::{Connection, Parameters, Transaction, each, rows_while},
    manager::Client,
};
use crate::error::StoreError;

/// A connection or a transaction.
pub trait GenericClient: Send + Sync {
    /// Returns all rows.
    fn query<T>(
        &self,
        statement: &T,
        parameters: Parameters<'_>,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send
    where
        T: ?Sized + ToStatement + Sync + Send;

    /// Returns the rows before the first that `take` refuses; the others are discarded as they arrive.
    fn query_while<T>(
        &self,
        statement: &T,
        parameters: Parameters<'_>,
        take: impl FnMut(&Row) -> bool + Send,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send
    where
        T: ?Sized + ToStatement + Sync + Send;

    /// Returns the only row; another number of rows is an error.
    fn query_one<T>(
        &self,
        statement: &T,
        parameters: Parameters<'_>,
    ) -> impl Future<Output = Result<Row, StoreError>> + Send
    where
        T: ?Sized + ToStatement + Sync + Send;

    /// Returns the only row, if there is one; several rows are an error.
    fn query_opt<T>(
        &self,
        statement: &T,
        parameters: Parameters<'_>,
    ) -> impl Future<Output = Result<Option<Row>, StoreError>> + Send
    where
        T: ?Sized + ToStatement + Sync + Send;

    /// Returns the number of rows that the statement changed.
    fn execute<T>(
        &self,
        statement: &T,
        parameters: Parameters<'_>,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send
    where
        T: ?Sized + ToStatement + Sync + Send;

    /// Runs statements without parameters, separated by semicolons.
    fn batch_execute(&self, sql: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Prepares a statement, or returns it if the connection keeps it prepared.
    fn prepare_cached(&self, sql: &str) -> impl Future<Output = Result<Statement, StoreError>> + Send;

    /// Prepares a statement whose parameters have these types.
    fn prepare_typed(&self, sql: &str, types: &[Type]) -> impl Future<Output = Result<Statement, StoreError>> + Send;
}

/// Implements [`GenericClient`] by the methods of a type that it dereferences to.
macro_rules! generic_client {
    ($type:ty, $target:ty, $prepare:ident) => {
        #[allow(clippy::needless_question_mark, reason = "the errors of some of the targets are converted")]
        impl GenericClient for $type {
            async fn query<T>(&self, statement: &T, parameters: Parameters<'_>) -> Result<Vec<Row>, StoreError>
            where
                T: ?Sized + ToStatement + Sync + Send,
            {
                Ok(<$target>::query(self, statement, parameters).await?)
            }

            async fn query_while<T>(
                &self,
                statement: &T,
                parameters: Parameters<'_>,
                take: impl FnMut(&Row) -> bool + Send,
            ) -> Result<Vec<Row>, StoreError>
            where
                T: ?Sized + ToStatement + Sync + Send,
            {
                generic_client!(@rows $prepare, $target, self, statement, parameters, take)
            }

            async fn query_one<T>(&self, statement: &T, parameters: Parameters<'_>) -> Result<Row, StoreError>
            where
                T: ?Sized + ToStatement + Sync + Send,
            {
                Ok(<$target>::query_one(self, statement, parameters).await?)
            }

            async fn query_opt<T>(&self, statement: &T, parameters: Parameters<'_>) -> Result<Option<Row>, StoreError>
            where
                T: ?Sized + ToStatement + Sync + Send,
            {
                Ok(<$target>::query_opt(self, statement, parameters).await?)
            }

            async fn execute<T>(&self, statement: &T, parameters: Parameters<'_>) -> Result<u64, StoreError>
            where
                T: ?Sized + ToStatement + Sync + Send,
            {
                Ok(<$target>::execute(self, statement, parameters).await?)
            }

            async fn batch_execute(&self, sql: &str) -> Result<(), StoreError> {
                Ok(<$target>::batch_execute(self, sql).await?)
            }

            async fn prepare_cached(&self, sql: &str) -> Result<Statement, StoreError> {
                Ok(<$target>::$prepare(self, sql).await?)
            }

            async fn prepare_typed(&self, sql: &str, types: &[Type]) -> Result<Statement, StoreError> {
                Ok(<$target>::prepare_typed(self, sql, types).await?)
            }
        }
    };
    (@rows prepare_cached, $target:ty, $self:ident, $statement:ident, $parameters:ident, $take:ident) => {
        <$target>::query_while($self, $statement, $parameters, $take).await
    };
    (@rows prepare, $target:ty, $self:ident, $statement:ident, $parameters:ident, $take:ident) => {
        Ok(rows_while($self.query_raw($statement, each($parameters)), $take).await?)
    };
}

generic_client!(Client, Connection, prepare_cached);
generic_client!(Connection, Connection, prepare_cached);
generic_client!(Transaction<'_>, Transaction<'_>, prepare_cached);
// A connection outside a pool: it keeps no statements.
generic_client!(tokio_postgres::Client, tokio_postgres::Client, prepare);
generic_client!(tokio_postgres::Transaction<'_>, tokio_postgres::Transaction<'_>, prepare);
