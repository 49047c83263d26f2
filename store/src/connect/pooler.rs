//! Detection of a connection pooler that gives each transaction another session of the server.
//!
//! Millstream needs sessions of its own: the writer's turnstile and the relay's lease are locks of a session, statements
//! are prepared once per session, and settings are made once per session. Behind a pooler in transaction mode all of
//! them belong to whichever session the pooler picks, and a lock may stay with it for good.

use std::time::Duration;

use super::{options::ConnectOptions, session::Session};
use crate::error::StoreError;

/// Rounds of the comparison. A pooler with idle sessions of its own may pick the same one by chance.
const ROUNDS: usize = 3;
/// Longest wait for one answer. A pooler whose sessions are all taken answers nothing.
const ANSWER: Duration = Duration::from_secs(5);
/// SQLSTATE of a start parameter that a pooler does not know: protocol violation.
const PROTOCOL_VIOLATION: &str = "08P01";

const REMEDY: &str = "connect directly to the server, or through a pooler in session mode";

/// Why the sessions of a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PoolerError {
    /// Several sessions of this process share one of the server.
    #[error(
        "{address} is a connection pooler in transaction mode, where locks and prepared statements do not stay with \
         their session: {REMEDY}"
    )]
    TransactionMode {
        /// The address of the database.
        address: String,
    },
    /// A pooler refused a start parameter, such as `options`.
    #[error("{address} is a connection pooler that refuses a start parameter: {REMEDY}, and without the parameter")]
    StartParameter {
        /// The address of the database.
        address: String,
        /// The pooler's error.
        #[source]
        source: StoreError,
    },
    /// The database cannot be reached.
    #[error(transparent)]
    Store(StoreError),
}

/// Checks that each session of this process has a session of the server to itself.
///
/// # Errors
/// [`PoolerError::Store`] when the server cannot be reached or refuses.
pub async fn check_sessions(options: &ConnectOptions) -> Result<(), PoolerError> {
    let refused = |error: StoreError| match error.sqlstate() {
        Some(PROTOCOL_VIOLATION) => PoolerError::StartParameter { address: options.to_string(), source: error },
        _ => PoolerError::Store(error),
    };
    let idle = Session::open(options).await.map_err(refused)?;
    let busy = Session::open(options).await.map_err(refused)?;
    for _ in 0..ROUNDS {
        if shares_backend(&idle, &busy).await.map_err(PoolerError::Store)? {
            return Err(PoolerError::TransactionMode { address: options.to_string() });
        }
    }
    Ok(())
}

/// Whether the server's session of `idle` is given to the transaction of `busy`, or changes while that one is open.
async fn shares_backend(idle: &Session, busy: &Session) -> Result<bool, StoreError> {
    let before = backend(idle).await?;
    busy.batch_execute("BEGIN").await?;
    let other = backend(busy).await?;
    // Not asked for if the answer is known: the pooler may have no further session.
    let shares = before == other
        || tokio::time::timeout(ANSWER, backend(idle))
            .await
            .map_or(Ok(true), |after| after.map(|after| after != before))?;
    busy.batch_execute("ROLLBACK").await?;
    Ok(shares)
}

/// The server's process, by the simple protocol, which every pooler passes through.
async fn backend(session: &Session) -> Result<Option<String>, StoreError> {
    let messages = session.simple_query("SELECT pg_backend_pid() AS \"Pid\"").await?;
    Ok(messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get("Pid").map(str::to_owned),
        _ => None,
    }))
}
