//! The connections of a process to its database, in pools that cannot take each other's.
//!
//! A write may wait for a lock, a read for a large page, the projector for both. Each kind of work has a pool of its
//! own, so that the others go on while one waits; health and control have a session that nothing else uses.

use crate::{config::Config, failure::Failure};
use millstream_store::connect::{ConnectOptions, Database, PoolOptions, SessionSettings, SessionSetup};
use millstream_store::origin::Origin;
use std::{sync::Arc, time::Duration};

/// Limit on a health check, the wait for its session included.
pub(crate) const CONTROL_LIMIT: Duration = Duration::from_secs(1);
/// Longest wait of a request for a connection. It has sent nothing to the server then.
const REQUEST_WAIT: Duration = Duration::from_secs(10);
/// Longest wait of a background task for a connection.
const BACKGROUND_WAIT: Duration = Duration::from_secs(30);
/// Longest wait of a background task for a lock: it tries again later, and does other work meanwhile.
const BACKGROUND_LOCK: Duration = Duration::from_secs(2);
/// The server cancels a statement of a background task after this time.
const BACKGROUND_STATEMENT: Duration = Duration::from_secs(50);
/// Limit on this side of a statement of a background task, for a server that hangs.
const BACKGROUND_LIMIT: Duration = Duration::from_secs(60);
/// The server ends a session that holds a transaction and sends nothing for this long.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(60);
/// Time by which the server's limit on a read exceeds that of the request: the client is answered first.
const AFTER_REQUEST: Duration = Duration::from_secs(1);

/// The pools of one process. Connections are opened when they are needed.
#[derive(Debug, Clone)]
pub(crate) struct Pools {
    /// Reads of documents for requests.
    pub(crate) reads: Database,
    /// Writes of documents.
    pub(crate) writes: Database,
    /// Projection, delivery, replays, proofs and maintenance.
    pub(crate) background: Database,
    /// Health, status and metrics: one connection.
    pub(crate) control: Database,
}

/// Connections of each pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PoolSizes {
    reads: usize,
    writes: usize,
    background: usize,
    control: usize,
}

impl PoolSizes {
    /// Divides `total` connections: one for control; a quarter, but one per projection worker and two more if that fits
    /// into the half, for background tasks; the rest evenly for reads and writes.
    fn of(total: usize, workers: usize) -> Self {
        let control = 1;
        let left = total.saturating_sub(control);
        let background = (total / 4).max(workers + 2).min(left / 2).max(1);
        let writes = ((left - background) / 2).max(1);
        Self { reads: left.saturating_sub(background + writes).max(1), writes, background, control }
    }
}

impl Pools {
    /// Builds the pools. Each checks its new sessions: a server that is restarted or replaced may hold another database, or
    /// this one at an earlier time.
    pub(crate) fn new(options: &ConnectOptions, config: &Config, origin: &Arc<Origin>) -> Result<Self, Failure> {
        let sizes =
            PoolSizes::of(config.database.pool_size, config.projector.workers + config.projector.cascade_workers);
        let pool = |options: &ConnectOptions, pool: PoolOptions| {
            let setup: Arc<dyn SessionSetup> = Arc::<Origin>::clone(origin);
            Database::new(options, PoolOptions { setup: Some(setup), ..pool }).map_err(Failure::failed)
        };
        let settings =
            SessionSettings { idle_in_transaction_timeout: Some(IDLE_IN_TRANSACTION), ..SessionSettings::default() };
        let reads = PoolOptions {
            wait: REQUEST_WAIT,
            settings: SessionSettings {
                statement_timeout: Some(config.api.request_timeout + AFTER_REQUEST),
                ..settings
            },
            ..PoolOptions::of_size(sizes.reads)
        };
        let writes = PoolOptions {
            wait: REQUEST_WAIT,
            settings: SessionSettings { lock_timeout: Some(config.database.lock_timeout), ..settings },
            ..PoolOptions::of_size(sizes.writes)
        };
        let background = PoolOptions {
            wait: BACKGROUND_WAIT,
            settings: SessionSettings {
                lock_timeout: Some(BACKGROUND_LOCK),
                statement_timeout: Some(BACKGROUND_STATEMENT),
                ..settings
            },
            statement_limit: Some(BACKGROUND_LIMIT),
            ..PoolOptions::of_size(sizes.background)
        };
        let control = PoolOptions {
            wait: CONTROL_LIMIT,
            settings: SessionSettings { statement_timeout: Some(CONTROL_LIMIT), ..settings },
            statement_limit: Some(CONTROL_LIMIT),
            ..PoolOptions::of_size(sizes.control)
        };
        Ok(Self {
            reads: pool(options, reads)?,
            writes: pool(options, writes)?,
            background: pool(options, background)?,
            control: pool(options, control)?,
        })
    }

    /// The address of the database.
    pub(crate) fn options(&self) -> &ConnectOptions {
        self.control.options()
    }

    /// Each pool with its name in metrics.
    pub(crate) fn named(&self) -> [(&'static str, &Database); 4] {
        [("reads", &self.reads), ("writes", &self.writes), ("background", &self.background), ("control", &self.control)]
    }

    /// Closes all pools.
    pub(crate) fn close(&self) {
        self.named().into_iter().for_each(|(_, pool)| pool.close());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pool_has_a_connection_and_together_they_keep_to_the_limit() {
        for total in 8..200 {
            for workers in [2, 4, 40, 128] {
                let PoolSizes { reads, writes, background, control } = PoolSizes::of(total, workers);
                assert_eq!(reads + writes + background + control, total, "{total} {workers}");
                assert!([reads, writes, background].into_iter().all(|size| size >= 2), "{total} {workers}");
            }
        }
        assert_eq!(PoolSizes::of(32, 4), PoolSizes { reads: 12, writes: 11, background: 8, control: 1 });
    }
}
