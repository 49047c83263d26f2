//! Errors of the outbox table.

use millstream_store::error::StoreError;

/// A failed statement on the outbox, or a row that this version cannot read.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The database refused or did not answer.
    #[error("{action} failed")]
    Database {
        /// The operation.
        action: &'static str,
        /// The database's error; its SQLSTATE decides whether to try again.
        source: StoreError,
    },
    /// The number of rows written is not the number of changes.
    #[error("{action}: {expected} rows were to be written, {written} were: roll the transaction back")]
    RowCount {
        /// The operation.
        action: &'static str,
        /// The number of rows to write.
        expected: u64,
        /// The number of rows written.
        written: u64,
    },
    /// A row holds a value that this version does not know.
    #[error("outbox row {outbox_id} cannot be read")]
    Row {
        /// Its `"OutboxId"`.
        outbox_id: i64,
        /// The value.
        source: millstream_pipeline::UnknownChangeKind,
    },
    /// Another relay follows the outbox for this consumer now.
    #[error(
        "another relay has taken over {consumer:?} (fencing epoch {found}, this process has {epoch}): this process stores \
         nothing any more; stop it, or start it again as a standby"
    )]
    TakenOver {
        /// The consumer's name.
        consumer: String,
        /// The fencing epoch of this process.
        epoch: i64,
        /// The current fencing epoch; 0 if the consumer's row is gone.
        found: i64,
    },
    /// The contents of the database contradict the state of this process.
    #[error("{0}")]
    State(String),
}

/// Names the operation during which the database failed.
pub(crate) trait During<T> {
    /// Turns the error into [`OutboxError::Database`].
    fn during(self, action: &'static str) -> Result<T, OutboxError>;
}

impl<T, E: Into<StoreError>> During<T> for Result<T, E> {
    fn during(self, action: &'static str) -> Result<T, OutboxError> {
        self.map_err(|error| OutboxError::Database { action, source: error.into() })
    }
}
