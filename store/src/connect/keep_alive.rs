//! How soon a peer that vanished without a word is noticed.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// The driver's default, two hours: it stands for "not set".
const DRIVER_IDLE: Duration = Duration::from_secs(2 * 60 * 60);
/// Silence of the server after which the kernel asks whether it is still there.
const IDLE: Duration = Duration::from_secs(30);
/// Pause between these questions.
const INTERVAL: Duration = Duration::from_secs(10);
/// Unanswered questions after which the connection counts as lost.
const RETRIES: u32 = 3;
/// Time that bytes may stay unacknowledged before the connection counts as lost.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Sets the limits that the connection string leaves open.
pub(super) fn configure(driver: &mut tokio_postgres::Config) {
    if driver.get_keepalives_idle() == DRIVER_IDLE {
        driver.keepalives_idle(IDLE);
    }
    if driver.get_keepalives_interval().is_none() {
        driver.keepalives_interval(INTERVAL);
    }
    if driver.get_keepalives_retries().is_none() {
        driver.keepalives_retries(RETRIES);
    }
    if driver.get_tcp_user_timeout().is_none() {
        driver.tcp_user_timeout(UNACKNOWLEDGED);
    }
}

/// Sets the same limits on another connection: of a replication client, or of a client of this process.
///
/// # Errors
/// When the operating system refuses.
pub fn keep_alive(connection: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(connection);
    let keepalive = TcpKeepalive::new().with_time(IDLE).with_interval(INTERVAL).with_retries(RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}
