//! Statements sent together: all of a step go out before the first answer comes back.

use futures::future::join_all;
use millstream_store::connect::Client;
use millstream_store::error::StoreError;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// A parameter that the pipeline owns.
pub(crate) type Param = Box<dyn ToSql + Sync + Send>;

/// Parameters of one statement, each owned: `params![id, version]`.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        vec![$(Box::new($value) as $crate::transaction::Param),*]
    };
}
pub(crate) use params;

/// Statements in sending order, with their parameters.
pub(crate) struct Pipeline<'c> {
    client: &'c Client,
    steps: Vec<(String, Vec<Param>)>,
}

impl<'c> Pipeline<'c> {
    pub(super) fn new(client: &'c Client) -> Self {
        Self { client, steps: Vec::new() }
    }

    /// Adds a statement; returns its place in the answer of [`Pipeline::run`].
    pub(crate) fn add(&mut self, sql: impl Into<String>, params: Vec<Param>) -> usize {
        self.steps.push((sql.into(), params));
        self.steps.len() - 1
    }

    /// Sends everything and waits for all answers. The first failure wins: the statements after it only say that the
    /// transaction is aborted (and a `COMMIT` among them "succeeds" by rolling back, which is why all are looked at).
    pub(crate) async fn run(self) -> Result<Vec<Vec<Row>>, StoreError> {
        let mut prepared = Vec::with_capacity(self.steps.len());
        for (sql, _) in &self.steps {
            // Before anything is sent: a statement that still had to be prepared would be overtaken by its successors.
            prepared.push(self.client.prepare_cached(sql).await?);
        }
        let client: &tokio_postgres::Client = self.client;
        let sent = self.steps.iter().zip(&prepared).map(|((_, params), statement)| {
            let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| &**param as &(dyn ToSql + Sync)).collect();
            async move { client.query(statement, &params).await }
        });
        let mut answers = Vec::with_capacity(prepared.len());
        for answer in join_all(sent).await {
            answers.push(answer.map_err(StoreError::from)?);
        }
        Ok(answers)
    }
}
