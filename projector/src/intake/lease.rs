//! The leader lease of one intake, and the fencing epoch in which it stores progress.
//!
//! A dedicated session holds the lease. The server ends the session when it hears nothing for a while, so a process
//! that was suspended, or whose machine is gone, does not block a standby. A process that wakes up finds its epoch
//! superseded before it stores anything (`millstream_outbox::relay` explains why both are needed).

use crate::context::Context;
use crate::error::{During, ProjectorError};
use millstream_outbox::relay::{FencingEpoch, next_epoch, wait_for_lease};
use millstream_pipeline::source::SourceStatus;
use millstream_store::connect::Session;
use millstream_store::error::{ErrorKind, StoreError};
use millstream_store::table::history;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

const ACTION: &str = "waiting for the lease on the outbox";

/// The server ends the session of a lease holder that is silent for this long.
const IDLE_TIMEOUT_SQL: &str = "SET idle_session_timeout = '10s'";

/// Interval at which the holder checks its epoch. Shorter than the server's timeout; measured on a monotonic clock,
/// because a step of the system clock must not cost the lease.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Limit on one check. The server ends a silent session after [`IDLE_TIMEOUT_SQL`]; nothing is stored meanwhile.
const CHECK_LIMIT: Duration = Duration::from_secs(5);

/// The lease of this process.
pub(super) struct LeaderLease {
    session: Session,
    epoch: FencingEpoch,
    checked_at: Mutex<Instant>,
}

impl LeaderLease {
    /// Acquires the lease, waiting as a standby while another process holds it.
    ///
    /// # Errors
    /// When the database does not answer; [`ProjectorError::Standby`] when the server is one, to be tried again.
    pub(super) async fn acquire(context: &Context) -> Result<Self, ProjectorError> {
        let session = Session::open(context.deps.database.options()).await.during(ACTION)?;
        if history::server_state(&*session).await.during(ACTION)?.in_recovery {
            return Err(ProjectorError::Standby);
        }
        session.batch_execute(IDLE_TIMEOUT_SQL).await.during(ACTION)?;
        let consumer = &context.options().consumer;
        let standby = "another process follows the outbox: this one stands by".to_owned();
        context.set_source_status(SourceStatus { last_error: Some(standby), ..context.source_status() });
        wait_for_lease(&*session, consumer).await.during(ACTION)?;
        let epoch = next_epoch(&*session, consumer).await.during(ACTION)?;
        tracing::info!(consumer, epoch = epoch.number(), "acquired the lease on the outbox");
        context.set_source_status(SourceStatus { last_error: None, ..context.source_status() });
        context.set_epoch(Some(epoch.clone()));
        Ok(Self { session, epoch, checked_at: Mutex::new(Instant::now()) })
    }

    /// The session that holds the lease.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Checks once per [`CHECK_INTERVAL`] that no other process has taken over, which also keeps the session alive, and
    /// that no other process has found that the database lost commits.
    ///
    /// # Errors
    /// When another process has taken over, the session is gone and the lease with it, or a new history has begun.
    pub(super) async fn check(&self, context: &Context) -> Result<(), ProjectorError> {
        if self.checked_at.lock().elapsed() < CHECK_INTERVAL {
            return Ok(());
        }
        let checked = tokio::time::timeout(CHECK_LIMIT, async {
            self.epoch.check(&*self.session).await.during(ACTION)?;
            history::number(&*self.session).await.during(ACTION)
        });
        let unanswered = |_| {
            let error = StoreError::new(
                ErrorKind::ConnectionLost,
                format!("the server did not answer within {CHECK_LIMIT:?}: the lease may belong to another process"),
            );
            ProjectorError::database(ACTION, error)
        };
        let found = checked.await.map_err(unanswered)??;
        if found != context.history() {
            return Err(ProjectorError::NewHistory { known: context.history(), found });
        }
        *self.checked_at.lock() = Instant::now();
        Ok(())
    }
}
