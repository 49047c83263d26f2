//! Watching the statements of a session: their limit on this side, and what becomes of a session whose statement was
//! abandoned or whose server refuses to go on.
//!
//! A statement is abandoned when its future is dropped before the answer: a request that hung up or ran into its
//! timeout. The server goes on with it, and the next statement of the session would wait for it. So the session is never
//! used again, and the server is asked to cancel the statement.

use std::{
    fmt,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::timeout};
use tokio_postgres::CancelToken;

use super::{
    establish,
    options::ConnectOptions,
    statements::StatementCache,
    trust::{ANSWER_MAX, Trust, Verdict},
};
use crate::{
    error::{ErrorKind, StoreError},
    metrics::ABANDONED,
};

/// Cancel requests in flight at most, over all pools: each is a connection of its own. A further abandoned statement
/// ends when the server notices that its client is gone.
static CANCELS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(8)));

/// Limit on one cancel request.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// The state of a session that its statements and transactions share.
pub(super) struct SessionState {
    options: Arc<ConnectOptions>,
    cancel: CancelToken,
    pub(super) statements: StatementCache,
    /// The session is replaced when it is given back after this time.
    expires_at: Instant,
    /// The session must not be used again.
    unusable: AtomicBool,
    /// Limit on a statement, in milliseconds; 0 for none.
    limit_ms: AtomicU64,
    /// Shared by the sessions of the pool.
    trust: Arc<Trust>,
    /// When the session last proved that its server is there.
    proven_at: Mutex<tokio::time::Instant>,
}

impl SessionState {
    pub(super) fn new(
        options: Arc<ConnectOptions>,
        cancel: CancelToken,
        expires_at: Instant,
        trust: Arc<Trust>,
        statements_max: usize,
    ) -> Self {
        Self {
            options,
            cancel,
            statements: StatementCache::new(statements_max),
            expires_at,
            unusable: AtomicBool::new(false),
            limit_ms: AtomicU64::new(0),
            trust,
            proven_at: Mutex::new(tokio::time::Instant::now()),
        }
    }

    /// Judges the session before its next use, after it was not used for this long.
    pub(super) fn verdict(&self, unused: Duration) -> Verdict {
        self.trust.judge(*self.proven_at.lock(), unused)
    }

    /// Asks the server for an empty answer; returns whether it came in time.
    pub(super) async fn answers(&self, client: &tokio_postgres::Client) -> bool {
        let asked_at = tokio::time::Instant::now();
        let answers = matches!(timeout(ANSWER_MAX, client.batch_execute("")).await, Ok(Ok(())));
        if answers {
            *self.proven_at.lock() = asked_at;
        } else {
            self.trust.condemn(asked_at);
        }
        answers
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.unusable.load(Ordering::Acquire) && Instant::now() < self.expires_at
    }

    /// Keeps the session from being used again.
    pub(super) fn discard(&self) {
        self.unusable.store(true, Ordering::Release);
    }

    /// Does the same because its server failed it: that of the other sessions may be gone too.
    fn lose(&self) {
        self.discard();
        self.trust.doubt();
    }

    /// Sets the limit on each further statement.
    pub(super) fn set_limit(&self, limit: Option<Duration>) {
        let ms = limit.map_or(0, |limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1));
        self.limit_ms.store(ms, Ordering::Relaxed);
    }

    /// Runs a statement within the limit.
    pub(super) async fn watch<T>(
        self: &Arc<Self>,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>> + Send,
    ) -> Result<T, StoreError> {
        let mut running = RunningStatement { session: Some(self) };
        let outcome = match self.limit_ms.load(Ordering::Relaxed) {
            0 => statement.await,
            limit_ms => match timeout(Duration::from_millis(limit_ms), statement).await {
                Ok(outcome) => outcome,
                Err(_) => return Err(unanswered(limit_ms)),
            },
        };
        running.session = None;
        outcome.map_err(|error| {
            let error = StoreError::from(error);
            if error.ends_session() {
                self.lose();
            }
            error
        })
    }

    /// Closes the session to further use and cancels its statement, in a task of its own.
    fn abandon(self: &Arc<Self>) {
        // Several statements of one pipeline are abandoned together.
        if self.unusable.swap(true, Ordering::AcqRel) {
            return;
        }
        self.trust.doubt();
        metrics::counter!(ABANDONED).increment(1);
        let (Ok(permit), Ok(runtime)) =
            (Arc::clone(&CANCELS).try_acquire_owned(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let session = Arc::clone(self);
        runtime.spawn(async move {
            let _permit = permit;
            match timeout(CANCEL_LIMIT, establish::cancel(&session.options, &session.cancel)).await {
                Ok(Ok(())) => tracing::debug!("cancelled an abandoned statement"),
                Ok(Err(error)) => tracing::debug!(%error, "failed to cancel an abandoned statement"),
                Err(_) => tracing::debug!("timed out when cancelling an abandoned statement"),
            }
        });
    }
}

impl fmt::Debug for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionState").field("usable", &self.is_usable()).finish_non_exhaustive()
    }
}

fn unanswered(limit_ms: u64) -> StoreError {
    StoreError::new(ErrorKind::ConnectionLost, format!("PostgreSQL did not answer a statement within {limit_ms} ms"))
}

/// A statement that was sent. Dropping it before its end abandons it.
struct RunningStatement<'a> {
    /// `None` after the end.
    session: Option<&'a Arc<SessionState>>,
}

impl Drop for RunningStatement<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session {
            session.abandon();
        }
    }
}
