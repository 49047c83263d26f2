//! One write transaction on one pooled connection.

mod locks;
mod pipeline;

pub(crate) use locks::{RENAME_LOCK, TURNSTILE_LOCK, add_share, share_locks};
pub(crate) use pipeline::{Param, Pipeline, params};

use millstream_store::connect::{Client, Database};
use millstream_store::error::StoreError;

/// A connection that is about to hold, or holds, an open transaction.
///
/// Dropped in the middle (a cancelled request, an error on the way), the connection is closed rather than given back:
/// the server then rolls back and releases every lock, session-level ones too.
pub(crate) struct Session {
    client: Option<Client>,
    open: bool,
}

impl Session {
    /// Takes a connection. The caller begins the transaction with the first statements of its first [`Pipeline`].
    pub(crate) async fn open(database: &Database) -> Result<Self, StoreError> {
        Ok(Self { client: Some(database.get().await?), open: false })
    }

    /// A pipeline whose first statement begins the transaction.
    pub(crate) fn begin(&mut self) -> Result<Pipeline<'_>, StoreError> {
        self.open = true;
        let mut pipeline = self.pipeline()?;
        pipeline.add("BEGIN", Vec::new());
        Ok(pipeline)
    }

    /// A pipeline in the open transaction.
    pub(crate) fn pipeline(&self) -> Result<Pipeline<'_>, StoreError> {
        let client = self.client.as_ref().ok_or_else(|| StoreError::other("the transaction was already ended"))?;
        Ok(Pipeline::new(client))
    }

    /// Marks the transaction as ended by a `COMMIT` that a pipeline has sent and seen succeed.
    pub(crate) fn committed(mut self) {
        self.open = false;
    }

    /// Undoes everything, and releases a turnstile that an error left behind.
    pub(crate) async fn rollback(mut self) -> Result<(), StoreError> {
        if let Some(client) = &self.client {
            client.batch_execute("ROLLBACK; SELECT pg_advisory_unlock_all()").await?;
        }
        self.open = false;
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.open
            && let Some(client) = self.client.take()
        {
            drop(Client::take(client));
        }
    }
}
