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
use std::sync::atomic::{AtomicU64, Ordering};

const ACTION: &str = "waiting for the lease on the outbox";

/// The server ends the session of a lease holder that is silent for this long.
const IDLE_TIMEOUT_SQL: &str = "SET idle_session_timeout = '10s'";

/// Interval at which the holder checks its epoch.
const CHECK_EVERY_MS: u64 = 1_000;

/// The lease of this process.
pub(super) struct LeaderLease {
    session: Session,
    epoch: FencingEpoch,
    checked_at_ms: AtomicU64,
}

impl LeaderLease {
    /// Acquires the lease, waiting as a standby while another process holds it.
    pub(super) async fn acquire(context: &Context) -> Result<Self, ProjectorError> {
        let session = Session::open(context.deps.database.options()).await.during(ACTION)?;
        session.batch_execute(IDLE_TIMEOUT_SQL).await.during(ACTION)?;
        let consumer = &context.options().consumer;
        let standby = "another process follows the outbox: this one stands by".to_owned();
        context.set_source_status(SourceStatus { last_error: Some(standby), ..context.source_status() });
        wait_for_lease(&*session, consumer).await.during(ACTION)?;
        let epoch = next_epoch(&*session, consumer).await.during(ACTION)?;
        tracing::info!(consumer, epoch = epoch.number(), "acquired the lease on the outbox");
        context.set_source_status(SourceStatus { last_error: None, ..context.source_status() });
        context.set_epoch(Some(epoch.clone()));
        Ok(Self { session, epoch, checked_at_ms: AtomicU64::new(context.now_ms()) })
    }

    /// Checks once per [`CHECK_EVERY_MS`] that no other process has taken over, which also keeps the session alive.
    ///
    /// # Errors
    /// When another process has taken over, or the session is gone and the lease with it.
    pub(super) async fn check(&self, now_ms: u64) -> Result<(), ProjectorError> {
        if now_ms.saturating_sub(self.checked_at_ms.load(Ordering::Relaxed)) < CHECK_EVERY_MS {
            return Ok(());
        }
        self.epoch.check(&*self.session).await.during(ACTION)?;
        self.checked_at_ms.store(now_ms, Ordering::Relaxed);
        Ok(())
    }
}
