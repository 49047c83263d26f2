//! The status of the process, as `millstream status` shows it.

use super::{
    metrics::ProcessMetrics,
    state::{ProcessState, RunningProcess},
};
use crate::{
    control::protocol::{DatabaseStatus, LaneStatus, ProcessPhase, RunningStatus, Section, StatusReport},
    failure::Failure,
};
use millstream_projector::sink_manager::ReplayReport;

/// Reads the status, and exports its numbers as metrics.
pub(crate) async fn read(state: &ProcessState) -> StatusReport {
    let running = state.view(async |running| match running {
        Some(process) => Some(read_running(process).await),
        None => None,
    });
    let running = running.await;
    let state = if running.is_some() { ProcessPhase::Running } else { ProcessPhase::StartingOrStopping };
    StatusReport { pid: std::process::id(), version: env!("CARGO_PKG_VERSION").to_owned(), state, running }
}

async fn read_running(process: &RunningProcess) -> RunningStatus {
    let projector = match &process.projector {
        None => None,
        Some(projector) => Some(section(projector.status().await.map(Into::into))),
    };
    let lanes = process.sink_manager.status().await;
    let lanes = section(lanes.map(|lanes| lanes.into_iter().map(LaneStatus::from).collect()));
    // Read last: the position in the server's log then covers the projector's report.
    let metrics = ProcessMetrics::measure(process).await;
    metrics.export(process);
    RunningStatus {
        role: process.role.to_string(),
        address: process.address.clone(),
        url: process.url.clone(),
        effective_schema_hash: process.effective_schema_hash.clone(),
        uptime_ms: metrics.uptime_ms,
        database: database(process, &metrics),
        projector,
        lanes,
        replay: process.replay.job().as_ref().map(|job| ReplayReport::from(job).into()),
    }
}

fn database(process: &RunningProcess, metrics: &ProcessMetrics) -> DatabaseStatus {
    DatabaseStatus {
        address: process.pools.options().to_string(),
        managed: metrics.managed,
        connections: metrics.connections as u64,
        connections_max: metrics.connections_max as u64,
        connections_idle: metrics.connections_idle as u64,
        waiting: metrics.waiting as u64,
        newest_version: metrics.newest_version,
        wal_position: metrics.wal_position.clone(),
    }
}

fn section<T, E: Into<Box<dyn std::error::Error + Send + Sync>>>(read: Result<T, E>) -> Section<T> {
    match read {
        Ok(part) => Section::Read(part),
        Err(error) => Section::Failed { error: Failure::failed(error).to_string() },
    }
}
