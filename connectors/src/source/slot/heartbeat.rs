//! Periodic WAL messages that keep the slot moving on a server whose log holds nothing else for it.

use std::time::Duration;

use pgwire_replication::ReplicationClient;

use super::errors;
use super::options::LogicalOptions;
use super::session::{self, SessionError};

/// Needs neither a table nor a publication.
const SQL: &str = "SELECT pg_logical_emit_message(false, 'millstream.heartbeat', '')";

/// SQLSTATE: insufficient privilege.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Writes heartbeats until dropped, or until the server denies the role the privilege.
pub(super) async fn run(options: LogicalOptions, interval: Duration) {
    let mut session = None;
    loop {
        tokio::time::sleep(interval).await;
        match write_one(&options, session.take()).await {
            Ok(client) => session = Some(client),
            Err(SessionError::Client(error))
                if error.is_server() && errors::sqlstate(&error.to_string()) == Some(INSUFFICIENT_PRIVILEGE) =>
            {
                tracing::warn!(%error, "stopped heartbeats: grant the role EXECUTE on pg_logical_emit_message, or turn them off");
                return;
            }
            // The stream's own connection reports a broken server; the next heartbeat retries.
            Err(error) => tracing::debug!(?error, "heartbeat failed"),
        }
    }
}

async fn write_one(
    options: &LogicalOptions,
    session: Option<ReplicationClient>,
) -> Result<ReplicationClient, SessionError> {
    let mut client = match session {
        Some(client) => client,
        None => session::open(options, 0).await?,
    };
    client.simple_query(SQL).await?;
    Ok(client)
}
