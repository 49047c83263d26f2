//! What a process counts of itself and of its database, for the status and for `/metrics` alike.

use super::board::About;
use metrics::{Unit, describe_gauge, gauge};
use millstream_projector::{newest_version, sink_manager::ReplayReport};
use serde_json::{Value, json};
use std::time::Duration;

/// Which process this is: 1, with its version, role and process id as labels.
const INFO: &str = "millstream_process_info";
const UPTIME_MS: &str = "millstream_process_uptime_ms";
const MANAGED: &str = "millstream_database_managed";
const CONNECTIONS: &str = "millstream_database_connections";
const CONNECTIONS_MAX: &str = "millstream_database_connections_max";
const CONNECTIONS_IDLE: &str = "millstream_database_connections_idle";
const WAITING: &str = "millstream_database_waiting";
const NEWEST_VERSION: &str = "millstream_database_newest_version";

/// The server is waited for so long at most.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Says of every metric here what it means.
pub(super) fn describe() {
    describe_gauge!(INFO, "1, with the version, the role and the process id as labels");
    describe_gauge!(UPTIME_MS, Unit::Milliseconds, "Time since the process started");
    describe_gauge!(MANAGED, "1 if the database server is the process's own");
    describe_gauge!(CONNECTIONS, Unit::Count, "Connections to the database");
    describe_gauge!(CONNECTIONS_MAX, Unit::Count, "Connections to the database at most");
    describe_gauge!(CONNECTIONS_IDLE, Unit::Count, "Connections to the database that nobody uses");
    describe_gauge!(WAITING, Unit::Count, "Tasks that wait for a connection to the database");
    describe_gauge!(NEWEST_VERSION, Unit::Count, "The newest version that was given to a document");
}

/// The numbers at one moment.
pub(super) struct Numbers {
    pub(super) uptime_ms: u64,
    managed: bool,
    connections: usize,
    connections_max: usize,
    connections_idle: usize,
    waiting: usize,
    /// None if the server does not answer soon, like what follows.
    newest_version: Option<i64>,
    wal_position: Option<String>,
}

impl Numbers {
    /// Asks now.
    pub(super) async fn of(about: &About) -> Self {
        let pool = about.database.pool().status();
        let server = tokio::time::timeout(ANSWER_WITHIN, server(about)).await.ok().flatten();
        let (newest_version, wal_position) = server.unzip();
        Self {
            uptime_ms: about.started.elapsed().as_millis() as u64,
            managed: about.managed,
            connections: pool.size,
            connections_max: pool.max_size,
            connections_idle: pool.available,
            waiting: pool.waiting,
            newest_version,
            wal_position,
        }
    }

    /// As metrics, and the replay into the cache with them.
    pub(super) fn publish(&self, about: &About) {
        let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id().to_string());
        gauge!(INFO, "version" => version, "role" => about.role.to_string(), "pid" => pid).set(1.0);
        gauge!(UPTIME_MS).set(self.uptime_ms as f64);
        gauge!(MANAGED).set(f64::from(u8::from(self.managed)));
        gauge!(CONNECTIONS).set(self.connections as f64);
        gauge!(CONNECTIONS_MAX).set(self.connections_max as f64);
        gauge!(CONNECTIONS_IDLE).set(self.connections_idle as f64);
        gauge!(WAITING).set(self.waiting as f64);
        if let Some(version) = self.newest_version {
            gauge!(NEWEST_VERSION).set(version as f64);
        }
        if let Some(job) = about.replay.job() {
            ReplayReport::from(&job).export("cache");
        }
    }

    /// The status's part of it.
    pub(super) fn database(&self, address: &str) -> Value {
        json!({
            "address": address,
            "managed": self.managed,
            "connections": self.connections,
            "connections_max": self.connections_max,
            "connections_idle": self.connections_idle,
            "waiting": self.waiting,
            "newest_version": self.newest_version,
            "wal_position": self.wal_position,
        })
    }
}

/// The newest version, and how far the server's log is on disk.
async fn server(about: &About) -> Option<(i64, String)> {
    let newest = newest_version(&about.database).await.ok()?;
    let client = about.database.get().await.ok()?;
    let row = client.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.ok()?;
    Some((newest, row.try_get(0).ok()?))
}
