//! A message in the log now and then, so that the slot moves on a server that has nothing else to say to us.

use std::time::Duration;

use pgwire_replication::ReplicationClient;

use super::options::LogicalOptions;
use super::policy;
use super::session;

/// Needs neither a table nor a publication.
const SQL: &str = "SELECT pg_logical_emit_message(false, 'millstream.heartbeat', '')";

/// Beats until it is dropped, or until the role turns out not to be allowed to.
pub(super) async fn beat(options: LogicalOptions, interval: Duration) {
    let mut session = None;
    loop {
        tokio::time::sleep(interval).await;
        match once(&options, session.take()).await {
            Ok(client) => session = Some(client),
            Err(error) if error.is_server() && policy::sqlstate(&error.to_string()) == Some("42501") => {
                tracing::warn!(%error, "no heartbeats: grant the role EXECUTE on pg_logical_emit_message, or turn them off");
                return;
            }
            // The stream's own connection tells what is wrong with the server; the next beat tries again.
            Err(error) => tracing::debug!(%error, "a heartbeat failed"),
        }
    }
}

async fn once(
    options: &LogicalOptions,
    session: Option<ReplicationClient>,
) -> Result<ReplicationClient, pgwire_replication::PgWireError> {
    let mut client = match session {
        Some(client) => client,
        None => session::open(options, 0).await?,
    };
    client.simple_query(SQL).await?;
    Ok(client)
}
