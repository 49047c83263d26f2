//! The metrics of this crate, each declared once.

use super::spec::{
    MetricKind::{self, Counter, Gauge},
    MetricSpec,
};
use metrics::Unit;

/// Set to 1, with the version, the role and the process id as labels.
pub(crate) const PROCESS_INFO: &str = "millstream_process_info";
/// Time since the start.
pub(crate) const PROCESS_UPTIME_MS: &str = "millstream_process_uptime_ms";
/// Whether the process manages the server.
pub(crate) const DATABASE_MANAGED: &str = "millstream_database_managed";
/// Open connections.
pub(crate) const DATABASE_CONNECTIONS: &str = "millstream_database_connections";
/// Connections at most.
pub(crate) const DATABASE_CONNECTIONS_MAX: &str = "millstream_database_connections_max";
/// Open connections that are not in use.
pub(crate) const DATABASE_CONNECTIONS_IDLE: &str = "millstream_database_connections_idle";
/// Tasks that wait for a connection.
pub(crate) const DATABASE_WAITING: &str = "millstream_database_waiting";
/// The newest version.
pub(crate) const DATABASE_NEWEST_VERSION: &str = "millstream_database_newest_version";
/// Changes written by `millstream publish`.
pub(crate) const PUBLISH_CHANGES: &str = "millstream_publish_changes_total";
/// Whether changes arrive at `millstream publish`.
pub(crate) const PUBLISH_CONNECTED: &str = "millstream_publish_connected";

const fn metric(name: &'static str, kind: MetricKind, unit: Option<Unit>, help: &'static str) -> MetricSpec {
    MetricSpec { name, kind, unit, help }
}

/// Every metric of this crate.
pub(crate) const METRICS: [MetricSpec; 10] = [
    metric(PROCESS_INFO, Gauge, None, "1, with the version, the role and the process id as labels"),
    metric(PROCESS_UPTIME_MS, Gauge, Some(Unit::Milliseconds), "Time since the process started"),
    metric(DATABASE_MANAGED, Gauge, None, "1 if the database server is the process's own"),
    metric(DATABASE_CONNECTIONS, Gauge, Some(Unit::Count), "Connections to the database"),
    metric(DATABASE_CONNECTIONS_MAX, Gauge, Some(Unit::Count), "Connections to the database at most"),
    metric(DATABASE_CONNECTIONS_IDLE, Gauge, Some(Unit::Count), "Connections to the database that are not in use"),
    metric(DATABASE_WAITING, Gauge, Some(Unit::Count), "Tasks that wait for a connection to the database"),
    metric(DATABASE_NEWEST_VERSION, Gauge, Some(Unit::Count), "The newest version that was given to a document"),
    metric(PUBLISH_CHANGES, Counter, Some(Unit::Count), "Change records written to the change topic"),
    metric(PUBLISH_CONNECTED, Gauge, None, "1 while change records arrive at `millstream publish`"),
];
