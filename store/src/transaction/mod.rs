//! One write transaction on one pooled connection, with its statements sent in pipelines.

pub(crate) mod locks;
pub(crate) mod pipeline;

pub use locks::{limit_lock_waits, lock_renames, lock_turnstile, share_locks, unlock_turnstile};
pub use pipeline::{Param, Pipeline, PipelineRows, StatementRef, param};

use crate::connect::{Client, Database};
use crate::error::StoreError;

/// A connection that is about to hold, or holds, an open write transaction.
///
/// If it is dropped halfway (a cancelled request, an error), the connection is closed rather than given back: the
/// server then rolls back and releases every lock, session-level ones too.
#[derive(Debug)]
pub struct WriteTransaction {
    client: Option<Client>,
    open: bool,
}

impl WriteTransaction {
    /// Takes a connection. The first statement of the first [`Pipeline`] begins the transaction.
    pub async fn open(database: &Database) -> Result<Self, StoreError> {
        Ok(Self { client: Some(database.get().await?), open: false })
    }

    /// A pipeline whose first statement begins the transaction.
    pub fn begin(&mut self) -> Result<Pipeline<'_>, StoreError> {
        self.open = true;
        let mut pipeline = self.pipeline()?;
        // Named: after a lock, the next statement has to see what its former holder committed.
        pipeline.execute("BEGIN ISOLATION LEVEL READ COMMITTED", Vec::new());
        Ok(pipeline)
    }

    /// A pipeline in the open transaction.
    pub fn pipeline(&self) -> Result<Pipeline<'_>, StoreError> {
        Ok(Pipeline::new(self.client()?))
    }

    /// The connection, for reads inside the open transaction that wait for their rows.
    pub fn client(&self) -> Result<&Client, StoreError> {
        self.client.as_ref().ok_or_else(|| StoreError::other("the transaction was already ended"))
    }

    /// Marks the transaction as ended by a `COMMIT` that a pipeline has sent and seen succeed.
    pub fn committed(mut self) {
        self.open = false;
    }

    /// Rolls back, and releases a turnstile that an error left locked.
    pub async fn rollback(mut self) -> Result<(), StoreError> {
        if let Some(client) = &self.client {
            client.batch_execute("ROLLBACK; SELECT pg_advisory_unlock_all()").await?;
        }
        self.open = false;
        Ok(())
    }
}

impl Drop for WriteTransaction {
    fn drop(&mut self) {
        if self.open
            && let Some(client) = self.client.take()
        {
            // Closed at once rather than when the pool looks at it: locks would be held until then.
            drop(Client::take(client));
        }
    }
}
