//! Sessions of tests that stop servers.

use millstream_store::connect::{ConnectOptions, Session};
use millstream_testkit::wait_for;
use std::time::Duration;

/// Limit for a server to accept connections again.
pub(crate) const RECOVERY: Duration = Duration::from_secs(60);

/// Connects to a server that may be restarting.
pub(crate) async fn open(options: &ConnectOptions) -> Session {
    wait_for("the server to accept connections", RECOVERY, || async { Session::open(options).await.ok() }).await
}
