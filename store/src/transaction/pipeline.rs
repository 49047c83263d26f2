//! Statements sent together: all of a step go out before the first answer comes back.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use bytes::BytesMut;
use futures::future::join_all;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Row, Statement};

use crate::connect::{Client, Connection};
use crate::error::{ErrorKind, StoreError};
use crate::metrics::LOCK_TIMEOUTS;
use crate::table::query::{FromRow, read_row, read_rows};

/// The statement that ends a write transaction.
const COMMIT: &str = "COMMIT";

/// A parameter that the pipeline owns.
pub type Param = Box<dyn ToSql + Sync + Send>;

/// A value as a parameter.
pub fn param(value: impl ToSql + Sync + Send + 'static) -> Param {
    Box::new(value)
}

/// Parameters of one statement, each owned: `params![id, version]`.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        vec![$($crate::transaction::pipeline::param($value)),*]
    };
}
pub(crate) use params;

/// Statements in sending order, with their parameters.
pub struct Pipeline<'c> {
    client: &'c Client,
    steps: Vec<(Cow<'static, str>, Vec<Param>)>,
}

impl fmt::Debug for Pipeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|(sql, _)| sql)).finish()
    }
}

impl<'c> Pipeline<'c> {
    pub(super) fn new(client: &'c Client) -> Self {
        Self { client, steps: Vec::new() }
    }

    /// Adds a statement that returns rows of the shape `T`.
    pub fn add<T>(&mut self, sql: impl Into<Cow<'static, str>>, params: Vec<Param>) -> StatementRef<T> {
        self.steps.push((sql.into(), params));
        StatementRef { step: self.steps.len() - 1, shape: PhantomData }
    }

    /// Adds a statement whose rows, if it returns any, are not read.
    pub fn execute(&mut self, sql: impl Into<Cow<'static, str>>, params: Vec<Param>) {
        self.steps.push((sql.into(), params));
    }

    /// Adds the `COMMIT`.
    pub fn commit(&mut self) {
        self.execute(COMMIT, Vec::new());
    }

    /// Sends everything and waits for all answers. Returns the first failure: the statements after it only report that
    /// the transaction is aborted (and a `COMMIT` among them "succeeds" by rolling back, which is why all are looked
    /// at).
    ///
    /// # Errors
    /// [`ErrorKind::OutcomeUnknown`] when the connection broke after a `COMMIT` was sent.
    pub async fn run(self) -> Result<PipelineRows, StoreError> {
        // Before anything is sent: a statement that still had to be prepared would be overtaken by its successors. Those
        // that the session does not have yet are prepared in one round trip.
        let prepared = join_all(self.steps.iter().map(|(sql, _)| self.client.prepare_cached(sql))).await;
        let prepared: Vec<Statement> = prepared.into_iter().collect::<Result<_, _>>()?;
        let commits = self.steps.iter().any(|(sql, _)| sql == COMMIT);
        // Before anything is sent, too: a statement that cannot be encoded would be missing from the transaction that its
        // successors, the COMMIT among them, complete.
        let mut encoded = Vec::with_capacity(self.steps.len());
        for ((sql, params), statement) in self.steps.into_iter().zip(&prepared) {
            encoded.push(encode(&sql, params, statement)?);
        }
        let client: &Connection = self.client;
        let sent = encoded.iter().zip(&prepared).map(|(params, statement)| {
            let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as &(dyn ToSql + Sync)).collect();
            async move { client.query(statement, &params).await }
        });
        let mut answers = Vec::with_capacity(prepared.len());
        for answer in join_all(sent).await {
            let answer = answer.inspect_err(count_lock_timeout);
            answers.push(answer.map_err(|error| if commits { error.of_commit() } else { error })?);
        }
        Ok(PipelineRows(answers))
    }
}

/// A parameter in PostgreSQL's binary format; `None` for NULL.
#[derive(Debug)]
struct EncodedParam(Option<BytesMut>);

impl ToSql for EncodedParam {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match &self.0 {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Encodes the parameters of a statement as the server expects them.
fn encode(sql: &str, params: Vec<Param>, statement: &Statement) -> Result<Vec<EncodedParam>, StoreError> {
    let types = statement.params();
    if params.len() != types.len() {
        let reason = format!("a statement takes {} parameters and was given {}: {sql}", types.len(), params.len());
        return Err(StoreError::other(reason));
    }
    let encoded = params.iter().zip(types).enumerate().map(|(at, (param, ty))| {
        let mut bytes = BytesMut::new();
        match param.to_sql_checked(ty, &mut bytes) {
            Ok(IsNull::No) => Ok(EncodedParam(Some(bytes))),
            Ok(IsNull::Yes) => Ok(EncodedParam(None)),
            Err(error) => {
                let number = at + 1;
                Err(StoreError::other(format!(
                    "parameter {number} of a statement cannot be sent as {ty}: {error}: {sql}"
                )))
            }
        }
    });
    encoded.collect()
}

fn count_lock_timeout(error: &StoreError) {
    if *error.kind() == ErrorKind::LockTimeout {
        metrics::counter!(LOCK_TIMEOUTS).increment(1);
    }
}

/// The rows of one statement of a [`Pipeline`], to be read from its [`PipelineRows`].
pub struct StatementRef<T> {
    step: usize,
    shape: PhantomData<fn() -> T>,
}

impl<T> Clone for StatementRef<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for StatementRef<T> {}

impl<T> fmt::Debug for StatementRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StatementRef({})", self.step)
    }
}

/// The rows of every statement of a [`Pipeline`].
#[derive(Debug)]
pub struct PipelineRows(Vec<Vec<Row>>);

impl PipelineRows {
    /// The rows as the driver has them.
    pub fn raw<T>(&self, answer: StatementRef<T>) -> &[Row] {
        self.0.get(answer.step).map_or(&[], Vec::as_slice)
    }

    /// The number of rows that the statement returned.
    pub fn count<T>(&self, answer: StatementRef<T>) -> usize {
        self.raw(answer).len()
    }

    /// Reads all rows.
    ///
    /// # Errors
    /// See [`FromRow`].
    pub fn rows<T: FromRow>(&self, answer: StatementRef<T>) -> Result<Vec<T>, StoreError> {
        read_rows(self.raw(answer))
    }

    /// Reads the row of a statement that always returns one.
    ///
    /// # Errors
    /// No row; see also [`FromRow`].
    pub fn one<T: FromRow>(&self, answer: StatementRef<T>) -> Result<T, StoreError> {
        let missing = || StoreError::other("a statement that always returns one row returned none");
        read_row(self.raw(answer).first().ok_or_else(missing)?)
    }
}
