//! What breaks.

use crate::support::dice::Dice;
use crate::support::say;
use millstream_store::connect::{ConnectOptions, Session};
use millstream_testkit::wait_for;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::Duration;

/// How long a server may take to come back.
const COME_BACK: Duration = Duration::from_secs(60);

/// One thing that breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9` of the Millstream process.
    Process,
    /// The database server ends some sessions: of the writer, the projector, the replication link.
    Sessions,
    /// `kill -9` of a server process of one session: the whole server starts over, and everybody is cut off.
    Backend,
    /// `kill -9` of the server itself, as in a power cut.
    Cluster,
}

/// In the order in which they come; the first three in the short form.
pub(crate) const FAULTS: [Fault; 4] = [Fault::Process, Fault::Backend, Fault::Cluster, Fault::Sessions];

/// A connection to a server that may just be coming back.
pub(crate) async fn session(options: &ConnectOptions) -> Session {
    let options = options.clone().with_application_name("torture");
    wait_for("the server to accept connections", COME_BACK, || async { Session::open(&options).await.ok() }).await
}

/// Server processes that work for somebody else, walsenders among them.
async fn backends(session: &Session) -> Vec<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
               AND backend_type IN ('client backend', 'walsender')";
    let rows = session.query(sql, &[]).await.expect("sessions can be listed");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Ends up to three sessions.
pub(crate) async fn end_sessions(options: &ConnectOptions, dice: &mut Dice) {
    let session = session(options).await;
    let pids = backends(&session).await;
    assert!(!pids.is_empty(), "nobody is connected");
    for _ in 0..3 {
        let pid = dice.pick(&pids);
        session.execute("SELECT pg_terminate_backend($1::int4)", &[pid]).await.expect("a session can be ended");
    }
}

/// Kills the process of one session.
pub(crate) async fn kill_backend(options: &ConnectOptions, dice: &mut Dice) {
    let session = session(options).await;
    let pids = backends(&session).await;
    assert!(!pids.is_empty(), "nobody is connected");
    let pid = *dice.pick(&pids);
    match kill(Pid::from_raw(pid), Signal::SIGKILL) {
        Ok(()) => {}
        // It ended by itself in between: its neighbours are as good.
        Err(error) => {
            say!("backend {pid}: {error}; killing that of the tester instead");
            let own: i32 = session.query_one("SELECT pg_backend_pid()", &[]).await.expect("a pid").get(0);
            kill(Pid::from_raw(own), Signal::SIGKILL).expect("it can be killed");
        }
    }
}

/// Waits until nobody works any more for those who were connected before `at`: a commit that was on its way when a
/// client died may still happen.
pub(crate) async fn outlast_sessions(options: &ConnectOptions, at: &str) {
    let session = session(options).await;
    let sql = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                   AND pid <> pg_backend_pid() AND backend_type = 'client backend'
                   AND application_name <> 'torture' AND backend_start < $1::text::timestamptz)";
    wait_for("sessions of a dead process to end", COME_BACK, || async {
        let row = session.query_one(sql, &[&at]).await.expect("sessions can be listed");
        row.get::<_, bool>(0).then_some(())
    })
    .await;
}

/// The server's time.
pub(crate) async fn now(options: &ConnectOptions) -> String {
    let row = session(options).await.query_one("SELECT clock_timestamp()::text", &[]).await.expect("the time");
    row.get(0)
}
