//! One follower at a time: the turn of this process, and the term in which it stores progress.
//!
//! The turn is held by a session of its own, which the server ends when it hears nothing for a while: a process that was
//! stopped, or whose machine is gone, keeps nobody waiting. When it wakes up it finds its term over before it stores
//! anything (`millstream_outbox::relay` says why there are two means).

use crate::context::Context;
use crate::error::ProjectorError;
use millstream_outbox::relay::{FencingEpoch, next_epoch, wait_for_lease};
use millstream_pipeline::source::SourceStatus;
use millstream_store::connect::Session;
use std::sync::atomic::{AtomicU64, Ordering};

const ACTION: &str = "waiting for the turn to follow the outbox";

/// The server ends the session of a follower that it has not heard of for so long.
const SILENCE_MAX_SQL: &str = "SET idle_session_timeout = '10s'";

/// How often a follower makes sure that nobody has taken over.
const CHECK_EVERY_MS: u64 = 1_000;

/// The turn of this process.
pub(crate) struct LeaderLease {
    session: Session,
    term: FencingEpoch,
    checked_at_ms: AtomicU64,
}

impl LeaderLease {
    /// Waits for it, as a standby, for as long as another process has it.
    pub(crate) async fn take(context: &Context) -> Result<Self, ProjectorError> {
        let session = Session::open(context.deps.database.options()).await.map_err(ProjectorError::database(ACTION))?;
        session.batch_execute(SILENCE_MAX_SQL).await.map_err(ProjectorError::database(ACTION))?;
        let consumer = &context.options().consumer;
        let standby = "another process follows the outbox: this one stands by".to_owned();
        context.set_source_status(SourceStatus { last_error: Some(standby), ..context.source_status() });
        wait_for_lease(&*session, consumer).await.map_err(ProjectorError::outbox(ACTION))?;
        let term = next_epoch(&*session, consumer).await.map_err(ProjectorError::outbox(ACTION))?;
        tracing::info!(consumer, term = term.number(), "this process follows the outbox from now on");
        context.set_source_status(SourceStatus { last_error: None, ..context.source_status() });
        context.set_term(Some(term.clone()));
        Ok(Self { session, term, checked_at_ms: AtomicU64::new(context.now_ms()) })
    }

    /// Makes sure now and then that nobody has taken over, and lets the server hear of us.
    ///
    /// # Errors
    /// When somebody has, or when the session is gone and with it the turn.
    pub(crate) async fn check(&self, now_ms: u64) -> Result<(), ProjectorError> {
        if now_ms.saturating_sub(self.checked_at_ms.load(Ordering::Relaxed)) < CHECK_EVERY_MS {
            return Ok(());
        }
        self.term.check(&*self.session).await.map_err(ProjectorError::outbox(ACTION))?;
        self.checked_at_ms.store(now_ms, Ordering::Relaxed);
        Ok(())
    }
}
