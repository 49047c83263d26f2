//! Opening, checking and closing the connections of a pool.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};

use super::{
    client::Connection,
    establish::{ESTABLISH, establish},
    options::ConnectOptions,
    settings::SessionSettings,
    setup::SessionSetup,
    trust::Trust,
    watch::SessionState,
};
use crate::error::{ErrorKind, StoreError};

/// Age at which a connection is replaced, when it is given back: a server session never returns the memory of its
/// caches. Half of it is random, so that the connections of a pool are not replaced together.
const LIFETIME_MAX: Duration = Duration::from_secs(3_600);

/// A connection of a pool; dropping it gives it back.
pub type Client = deadpool::managed::Object<SessionManager>;

/// Opens and checks the connections of one pool.
pub struct SessionManager {
    pub(super) options: Arc<ConnectOptions>,
    pub(super) settings: SessionSettings,
    pub(super) statement_limit: Option<Duration>,
    pub(super) statements_max: usize,
    pub(super) setup: Option<Arc<dyn SessionSetup>>,
    pub(super) trust: Arc<Trust>,
}

impl Manager for SessionManager {
    type Type = Connection;
    type Error = StoreError;

    async fn create(&self) -> Result<Connection, StoreError> {
        // Boxed: every caller of the pool would hold the large futures of a handshake.
        let (client, driver) = Box::pin(establish(&self.options, &self.settings, ESTABLISH)).await?;
        let (options, trust) = (Arc::clone(&self.options), Arc::clone(&self.trust));
        let state = SessionState::new(options, client.cancel_token(), expiry(), trust, self.statements_max);
        let connection = Connection::new(client, driver, state);
        connection.set_statement_limit(self.statement_limit);
        if let Some(setup) = &self.setup {
            let timed_out = |_| StoreError::new(ErrorKind::Connect, "the check of a new session did not end in time");
            tokio::time::timeout(ESTABLISH, setup.prepare(&connection)).await.map_err(timed_out)??;
        }
        Ok(connection)
    }

    async fn recycle(&self, connection: &mut Connection, metrics: &Metrics) -> RecycleResult<StoreError> {
        if !connection.is_usable() {
            return Err(RecycleError::message("the connection is closed, or must not be used again"));
        }
        if !connection.is_proven(metrics.last_used()).await {
            return Err(RecycleError::message("the server does not answer on this connection"));
        }
        connection.set_statement_limit(self.statement_limit);
        Ok(())
    }
}

fn expiry() -> Instant {
    Instant::now() + LIFETIME_MAX.mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

impl fmt::Debug for SessionManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionManager")
            .field("options", &self.options)
            .field("settings", &self.settings)
            .field("setup", &self.setup)
            .finish_non_exhaustive()
    }
}
