//! Faults and their injection.

use crate::support::random::Random;
use crate::support::report;
use crate::support::session::{self, RECOVERY};
use millstream_store::connect::{ConnectOptions, Session};
use millstream_testkit::wait_for;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL to the Millstream process.
    Process,
    /// Terminates some sessions of the writer, the projector or the replication connection.
    Sessions,
    /// SIGKILL to the server process of one session: the server restarts and ends all connections.
    Backend,
    /// SIGKILL to the server itself, as in a power failure.
    Cluster,
}

/// All faults in order; the short form uses the first three.
pub(crate) const FAULTS: [Fault; 4] = [Fault::Process, Fault::Backend, Fault::Cluster, Fault::Sessions];

/// Connects as the test to a server that may be restarting.
pub(crate) async fn session(options: &ConnectOptions) -> Session {
    session::open(&options.clone().with_application_name("torture")).await
}

/// Returns the server processes of all other sessions, including walsenders.
async fn backends(session: &Session) -> Vec<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
               AND backend_type IN ('client backend', 'walsender')";
    let rows = session.query(sql, &[]).await.expect("sessions can be listed");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Terminates up to three sessions.
pub(crate) async fn end_sessions(options: &ConnectOptions, random: &mut Random) {
    let session = session(options).await;
    let pids = backends(&session).await;
    assert!(!pids.is_empty(), "no session is connected");
    for _ in 0..3 {
        let pid = random.pick(&pids);
        session.execute("SELECT pg_terminate_backend($1::int4)", &[pid]).await.expect("a session can be terminated");
    }
}

/// Kills the server process of one session.
pub(crate) async fn kill_backend(options: &ConnectOptions, random: &mut Random) {
    let session = session(options).await;
    let pids = backends(&session).await;
    assert!(!pids.is_empty(), "no session is connected");
    let pid = *random.pick(&pids);
    match kill(Pid::from_raw(pid), Signal::SIGKILL) {
        Ok(()) => {}
        // The process ended in between; kill the one of this test instead.
        Err(error) => {
            report!("backend {pid}: {error}; killing the backend of the test instead");
            let own: i32 = session.query_one("SELECT pg_backend_pid()", &[]).await.expect("a pid").get(0);
            kill(Pid::from_raw(own), Signal::SIGKILL).expect("the backend can be killed");
        }
    }
}

/// Waits until no session that connected before `at` is active: a commit that was in flight when its client died may
/// still complete.
pub(crate) async fn outlast_sessions(options: &ConnectOptions, at: &str) {
    let session = session(options).await;
    let sql = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                   AND pid <> pg_backend_pid() AND backend_type = 'client backend'
                   AND application_name <> 'torture' AND backend_start < $1::text::timestamptz)";
    wait_for("sessions of a dead process to end", RECOVERY, || async {
        let row = session.query_one(sql, &[&at]).await.expect("sessions can be listed");
        row.get::<_, bool>(0).then_some(())
    })
    .await;
}

/// Returns the time of the server.
pub(crate) async fn now(options: &ConnectOptions) -> String {
    let row = session(options).await.query_one("SELECT clock_timestamp()::text", &[]).await.expect("the time");
    row.get(0)
}
