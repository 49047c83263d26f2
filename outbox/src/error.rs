//! What can go wrong with the outbox table.

/// A failure of a statement on the outbox, or a row that this version cannot read.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The database refused or did not answer.
    #[error("{action} failed")]
    Database {
        /// What was being done.
        action: &'static str,
        /// What the driver says; its SQLSTATE decides whether to try again.
        source: tokio_postgres::Error,
    },
    /// Fewer or more rows were written than asked for.
    #[error("{action}: {expected} rows were to be written, {written} were: roll the transaction back")]
    RowCount {
        /// What was being done.
        action: &'static str,
        /// How many rows were to be written.
        expected: u64,
        /// How many were.
        written: u64,
    },
    /// A row holds a value that this version does not know.
    #[error("outbox row {outbox_id} cannot be read")]
    Row {
        /// Its `"OutboxId"`.
        outbox_id: i64,
        /// What is wrong with it.
        source: millstream_pipeline::UnknownChangeKind,
    },
    /// Another relay follows the outbox for this consumer now.
    #[error(
        "another relay has taken over {consumer:?} (term {found}, this one's is {term}): nothing is stored any more; stop \
         this process, or start it again as a standby"
    )]
    TakenOver {
        /// The consumer's name.
        consumer: String,
        /// The term that this process had.
        term: i64,
        /// The term that holds now; 0 if the row is gone.
        found: i64,
    },
    /// What the database holds contradicts what this process believes.
    #[error("{0}")]
    State(String),
}

impl OutboxError {
    /// For `map_err`: a database failure while doing `action`.
    pub(crate) fn database(action: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Database { action, source }
    }

    /// The driver's error, if that is what it was.
    #[must_use]
    pub fn as_database(&self) -> Option<&tokio_postgres::Error> {
        match self {
            Self::Database { source, .. } => Some(source),
            _ => None,
        }
    }
}
