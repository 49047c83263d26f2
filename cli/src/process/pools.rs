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
/// Longest wait of a batch of writes for a lock: what has to wait longer does so in a transaction of its own.
const BATCH_LOCK: Duration = Duration::from_millis(250);
/// Prepared statements of the session of a lane, which writes documents of all types.
const LANE_STATEMENTS: usize = 2_000;
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
    /// Writes of documents, each in a transaction of its own.
    pub(crate) writes: Database,
    /// Writes that share transactions: a session per lane. `None`: none do.
    pub(crate) lanes: Option<Database>,
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
    lanes: usize,
    background: usize,
    control: usize,
}

impl PoolSizes {
    /// Divides `total` connections: one for control; a quarter, but one per projection worker and two more if that fits
    /// into the half, for background tasks; the rest evenly for reads and writes, of which each of `lanes` has one, but at
    /// most half.
    fn of(total: usize, workers: usize, lanes: usize) -> Self {
        let control = 1;
        let left = total.saturating_sub(control);
        let background = (total / 4).max(workers + 2).min(left / 2).max(1);
        let all_writes = ((left - background) / 2).max(1);
        let lanes = lanes.min(all_writes / 2);
        let (reads, writes) = (left.saturating_sub(background + all_writes).max(1), all_writes - lanes);
        Self { reads, writes, lanes, background, control }
    }
}

impl Pools {
    /// Builds the pools. Each checks its new sessions: a server that is restarted or replaced may hold another database, or
    /// this one at an earlier time.
    pub(crate) fn new(options: &ConnectOptions, config: &Config, origin: &Arc<Origin>) -> Result<Self, Failure> {
        let workers = config.projector.workers + config.projector.cascade_workers;
        let lanes = config.batching.map_or(0, |batching| batching.lanes);
        let sizes = PoolSizes::of(config.database.pool_size, workers, lanes);
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
        let lanes = config.batching.map(|_| PoolOptions {
            size: sizes.lanes.max(1),
            settings: SessionSettings {
                lock_timeout: Some(BATCH_LOCK),
                statement_timeout: Some(config.api.request_timeout + AFTER_REQUEST),
                ..writes.settings.clone()
            },
            // No request waits in the place of a lane whose session hangs.
            statement_limit: Some(config.api.request_timeout + 2 * AFTER_REQUEST),
            statements_max: LANE_STATEMENTS,
            ..writes.clone()
        });
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
            lanes: lanes.map(|lanes| pool(options, lanes)).transpose()?,
            background: pool(options, background)?,
            control: pool(options, control)?,
        })
    }

    /// The address of the database.
    pub(crate) fn options(&self) -> &ConnectOptions {
        self.control.options()
    }

    /// Each pool with its name in metrics.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, &Database)> {
        let always = [
            ("reads", &self.reads),
            ("writes", &self.writes),
            ("background", &self.background),
            ("control", &self.control),
        ];
        always.into_iter().chain(self.lanes.as_ref().map(|lanes| ("lanes", lanes)))
    }

    /// Closes all pools.
    pub(crate) fn close(&self) {
        self.named().for_each(|(_, pool)| pool.close());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pool_has_a_connection_and_together_they_keep_to_the_limit() {
        for total in 8..200 {
            for workers in [2, 4, 40, 128] {
                for lanes in [0, 2, 64] {
                    let sizes = PoolSizes::of(total, workers, lanes);
                    let PoolSizes { reads, writes, lanes: batches, background, control } = sizes;
                    assert_eq!(reads + writes + batches + background + control, total, "{total} {workers} {lanes}");
                    assert!(reads >= 2 && background >= 2 && writes >= 1, "{total} {workers} {lanes}");
                    assert!(batches >= lanes.min(1), "{total} {workers} {lanes}");
                }
            }
        }
        let sizes = PoolSizes { reads: 12, writes: 9, lanes: 2, background: 8, control: 1 };
        assert_eq!(PoolSizes::of(32, 4, 2), sizes);
    }
}
