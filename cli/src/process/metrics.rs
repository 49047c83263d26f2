//! Measurements of the process and of its database, for the status and for `/metrics` alike.

use super::state::RunningProcess;
use crate::telemetry::metrics::{
    DATABASE_CONNECTIONS, DATABASE_CONNECTIONS_IDLE, DATABASE_CONNECTIONS_MAX, DATABASE_MANAGED,
    DATABASE_NEWEST_VERSION, DATABASE_POOL_IN_USE, DATABASE_POOL_WAITING, DATABASE_WAITING, MEMORY_BUDGET_BYTES,
    MEMORY_IN_FLIGHT_BYTES, PROCESS_INFO, PROCESS_UPTIME_MS,
};
use metrics::gauge;
use millstream_projector::sink_manager::ReplayReport;
use millstream_store::connect::PoolStatus;
use std::time::Duration;

/// Longest wait for the database server.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);

/// The measurements at one moment.
pub(crate) struct ProcessMetrics {
    pub(crate) uptime_ms: u64,
    pub(crate) managed: bool,
    pub(crate) connections: usize,
    pub(crate) connections_max: usize,
    pub(crate) connections_idle: usize,
    pub(crate) waiting: usize,
    /// Counters of each pool.
    pools: Vec<(&'static str, PoolStatus)>,
    /// `None` if the server did not reply in time, like the next one.
    pub(crate) newest_version: Option<i64>,
    pub(crate) wal_position: Option<String>,
}

impl ProcessMetrics {
    /// Takes the measurements.
    pub(crate) async fn measure(process: &RunningProcess) -> Self {
        let pools: Vec<_> = process.pools.named().map(|(name, pool)| (name, pool.status())).collect();
        let sum = |count: fn(&PoolStatus) -> usize| pools.iter().map(|(_, status)| count(status)).sum();
        let server = tokio::time::timeout(SERVER_TIMEOUT, read_server(process)).await.ok().flatten();
        let (newest_version, wal_position) = server.unzip();
        Self {
            uptime_ms: process.started.elapsed().as_millis() as u64,
            managed: process.managed,
            connections: sum(|pool| pool.size),
            connections_max: sum(|pool| pool.max_size),
            connections_idle: sum(|pool| pool.available),
            waiting: sum(|pool| pool.waiting),
            pools,
            newest_version,
            wal_position,
        }
    }

    /// Sets the metrics, and those of the replay into the cache.
    pub(crate) fn export(&self, process: &RunningProcess) {
        let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id().to_string());
        gauge!(PROCESS_INFO, "version" => version, "role" => process.role.to_string(), "pid" => pid).set(1.0);
        gauge!(PROCESS_UPTIME_MS).set(self.uptime_ms as f64);
        gauge!(MEMORY_BUDGET_BYTES).set(process.memory.capacity() as f64);
        gauge!(MEMORY_IN_FLIGHT_BYTES).set(process.memory.in_flight() as f64);
        gauge!(DATABASE_MANAGED).set(f64::from(u8::from(self.managed)));
        gauge!(DATABASE_CONNECTIONS).set(self.connections as f64);
        gauge!(DATABASE_CONNECTIONS_MAX).set(self.connections_max as f64);
        gauge!(DATABASE_CONNECTIONS_IDLE).set(self.connections_idle as f64);
        gauge!(DATABASE_WAITING).set(self.waiting as f64);
        for (name, pool) in &self.pools {
            gauge!(DATABASE_POOL_IN_USE, "pool" => *name).set(pool.size.saturating_sub(pool.available) as f64);
            gauge!(DATABASE_POOL_WAITING, "pool" => *name).set(pool.waiting as f64);
        }
        if let Some(version) = self.newest_version {
            gauge!(DATABASE_NEWEST_VERSION).set(version as f64);
        }
        if let Some(job) = process.replay.job() {
            ReplayReport::from(&job).export("cache");
        }
    }
}

/// Reads the newest version, and the flushed position of the server's log.
async fn read_server(process: &RunningProcess) -> Option<(i64, String)> {
    let client = process.pools.control.get().await.ok()?;
    // A failure shows in the numbers that are missing then.
    let state = process.origin.observe(&*client).await.ok()??;
    Some((state.version, state.lsn.to_string()))
}
