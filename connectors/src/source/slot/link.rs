//! TLS for the replication connection.
//!
//! The replication client is built without TLS, because its TLS feature compiles a second crypto provider (a C library,
//! with cmake). This module opens the connection to the server, with the TLS settings of all other connections to the
//! database. The client reaches it through a Unix socket in a directory that only this user may enter. The socket accepts
//! one connection.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use millstream_store::connect::{SslMode, keep_alive, tls_config};
use pgwire_replication::{PgWireError, ReplicationConfig};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional_with_sizes};
use tokio::net::{TcpStream, UnixListener};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::options::LogicalOptions;

/// The `SSLRequest` message: its length, then a code in place of the protocol version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// Time that the client has to connect to the socket.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Size of the copy buffer per direction.
const BUFFER_BYTES: usize = 64 << 10;

/// Applies the TLS mode of the options. Returns `config` unchanged for a connection without TLS; otherwise connects to the
/// server and returns a configuration that leads through the encrypted connection.
pub(super) async fn secure(
    options: &LogicalOptions,
    mut config: ReplicationConfig,
) -> Result<ReplicationConfig, PgWireError> {
    match options.ssl_mode {
        SslMode::Disable => return Ok(config),
        SslMode::Prefer if config.is_unix_socket() => return Ok(config),
        SslMode::Require | SslMode::VerifyFull if config.is_unix_socket() => {
            return Err(PgWireError::Tls("TLS is not available on a Unix socket: set sslmode=disable".to_owned()));
        }
        SslMode::Prefer | SslMode::Require | SslMode::VerifyFull => {}
    }
    let Some(server) = connect(options).await? else { return Ok(config) };
    let directory =
        tempfile::Builder::new().prefix("millstream-").permissions(Permissions::from_mode(0o700)).tempdir()?;
    config.host = socket_directory(&directory)?;
    let listener = UnixListener::bind(config.unix_socket_path())?;
    tokio::spawn(relay(directory, listener, server));
    Ok(config)
}

fn socket_directory(directory: &TempDir) -> Result<String, PgWireError> {
    let path = directory.path();
    let text = path.to_str().filter(|path| path.starts_with('/'));
    text.map(str::to_owned).ok_or_else(|| {
        PgWireError::Tls(format!("the directory for temporary files is not an absolute UTF-8 path: {}", path.display()))
    })
}

/// Opens an encrypted connection. Returns `None` if the server does not offer TLS and the options do not require it.
async fn connect(options: &LogicalOptions) -> Result<Option<TlsStream<TcpStream>>, PgWireError> {
    let host = options.host.as_str();
    let mut tcp = TcpStream::connect((host, options.port)).await?;
    tcp.set_nodelay(true)?;
    keep_alive(&tcp)?;
    tcp.write_all(&SSL_REQUEST).await?;
    // Reads exactly one byte: the handshake follows.
    if tcp.read_u8().await? != b'S' {
        return match options.ssl_mode {
            SslMode::Prefer => Ok(None),
            _ => Err(PgWireError::Tls(
                "the server does not offer TLS: set ssl = on in its configuration, or another sslmode".to_owned(),
            )),
        };
    }
    let config = tls_config(options.ssl_mode, options.ssl_root_cert.as_deref())
        .map_err(|error| PgWireError::Tls(error.to_string()))?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| PgWireError::Tls(format!("the host {host:?} cannot be verified: {error}")))?;
    let secured = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
    secured.map(Some).map_err(|error| handshake_error(error, host))
}

/// Distinguishes a broken connection, which is retried, from a refused certificate, which is not.
fn handshake_error(error: io::Error, host: &str) -> PgWireError {
    if error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>()) {
        PgWireError::Tls(format!("the TLS handshake with {host} failed: {error}"))
    } else {
        PgWireError::from(error)
    }
}

/// Accepts the client's connection and copies bytes in both directions until both sides have closed.
async fn relay(directory: TempDir, listener: UnixListener, mut server: TlsStream<TcpStream>) {
    let accepted = tokio::time::timeout(CONNECT_WITHIN, listener.accept()).await;
    drop((listener, directory));
    let Ok(Ok((mut client, _))) = accepted else {
        tracing::debug!("the replication client did not connect to its socket in time");
        return;
    };
    // The client sees the end of its stream and reports it.
    if let Err(error) = copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER_BYTES, BUFFER_BYTES).await {
        tracing::debug!(%error, "the encrypted replication connection ended");
    }
}
