//! Opening a connection, handshakes and settings included.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::{CancelToken, NoTls};

use super::{
    options::{ConnectOptions, SslMode},
    settings::SessionSettings,
    tls,
};
use crate::error::{ErrorKind, StoreError};

/// Limit on connecting, handshakes included. The driver's own limit ends when TCP is connected; a peer that accepts and
/// never answers would block the caller forever.
pub(super) const ESTABLISH: Duration = Duration::from_secs(15);

/// A client with the task that moves its bytes; aborting the task closes the connection.
pub(super) type Established = (tokio_postgres::Client, JoinHandle<()>);

/// Connects and applies the settings, or gives up after `limit`. Every error is of kind [`ErrorKind::Connect`].
pub(super) async fn establish(
    options: &ConnectOptions,
    settings: &SessionSettings,
    limit: Duration,
) -> Result<Established, StoreError> {
    let timed_out = |_| StoreError::new(ErrorKind::Connect, format!("{options} did not answer within {limit:?}"));
    let connected = async {
        let (client, driver) = connect(options).await?;
        match client.batch_execute(&settings.sql()).await {
            Ok(()) => Ok((client, driver)),
            Err(error) => {
                driver.abort();
                Err(StoreError::from(error))
            }
        }
    };
    match tokio::time::timeout(limit, connected).await.map_err(timed_out)? {
        Ok(established) => Ok(established),
        Err(error) => Err(error.of_connecting()),
    }
}

async fn connect(options: &ConnectOptions) -> Result<Established, StoreError> {
    // The authorities are read for each connection: they may have been exchanged together with the certificate.
    if options.ssl_mode() == SslMode::Disable {
        let (client, connection) = options.driver().connect(NoTls).await?;
        Ok((client, tokio::spawn(drive(connection))))
    } else {
        let (client, connection) = options.driver().connect(tls::connector(options)?).await?;
        Ok((client, tokio::spawn(drive(connection))))
    }
}

async fn drive<F: Future<Output = Result<(), tokio_postgres::Error>>>(connection: F) {
    // Every statement in flight gets this error too; the log line records the time.
    if let Err(error) = connection.await {
        tracing::debug!(error = %StoreError::from(error), "database session ended");
    }
}

/// Asks the server to cancel the statement of a session.
pub(super) async fn cancel(options: &ConnectOptions, token: &CancelToken) -> Result<(), StoreError> {
    if options.ssl_mode() == SslMode::Disable {
        token.cancel_query(NoTls).await?;
    } else {
        token.cancel_query(tls::connector(options)?).await?;
    }
    Ok(())
}
