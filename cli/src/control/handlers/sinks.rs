//! Handlers of requests about sinks and replays.

use crate::{
    control::protocol::{ReplayCancelled, ReplayStarted, SinkAdded, SinkPaused, SinkRemoved, Target},
    failure::Failure,
    process::{
        sinks::{EntryQueue, sink_failure},
        state::RunningProcess,
    },
};
use millstream_projector::{replay::Spec, sink_manager::backfill};
use std::{sync::Arc, time::Duration};

/// Longest wait for deliveries in flight when their sink is removed.
pub(super) const REMOVE_DEADLINE: Duration = Duration::from_secs(10);

pub(super) async fn add(process: &RunningProcess, sink: &str, fill: Option<Option<u32>>) -> Result<SinkAdded, Failure> {
    let lane = process.add_sink(sink, fill.map(backfill)).await?;
    Ok(SinkAdded { lane })
}

pub(super) async fn remove(process: &RunningProcess, sink: &str) -> Result<SinkRemoved, Failure> {
    let removed = process.lanes_of(sink).await?;
    for lane in &removed {
        process.sink_manager.remove(lane, REMOVE_DEADLINE).await.map_err(sink_failure)?;
    }
    Ok(SinkRemoved { removed })
}

pub(super) async fn pause(process: &RunningProcess, sink: &str, paused: bool) -> Result<SinkPaused, Failure> {
    let lanes = process.lanes_of(sink).await?;
    for lane in &lanes {
        process.sink_manager.set_paused(lane, paused).await.map_err(sink_failure)?;
    }
    Ok(SinkPaused { lanes, paused })
}

pub(super) async fn replay(process: &RunningProcess, target: &Target, spec: &Spec) -> Result<ReplayStarted, Failure> {
    match target {
        Target::Cache => {
            let job = process.replay.start(spec.clone()).await.map_err(Failure::failed)?;
            Ok(ReplayStarted { total: job.total, targets: vec!["cache".to_owned()] })
        }
        Target::Sink(name) => {
            let (targets, mut total) = (process.lanes_of(name).await?, 0);
            for lane in &targets {
                total = process.sink_manager.replay(lane, spec.clone()).await.map_err(sink_failure)?.total;
            }
            Ok(ReplayStarted { total, targets })
        }
    }
}

pub(super) async fn cancel_replay(process: &RunningProcess, target: &Target) -> Result<ReplayCancelled, Failure> {
    let mut cancelled = Vec::new();
    match target {
        Target::Cache => {
            if process.replay.cancel().await.map_err(Failure::failed)? {
                cancelled.push("cache".to_owned());
            }
        }
        Target::Sink(name) => {
            for lane in process.lanes_of(name).await? {
                if process.sink_manager.cancel_replay(&lane).await.map_err(sink_failure)? {
                    cancelled.push(lane);
                }
            }
        }
    }
    Ok(ReplayCancelled { cancelled })
}

/// Returns the queues that a target means; all of them without one.
pub(super) async fn queues(process: &RunningProcess, target: Option<&Target>) -> Result<Vec<EntryQueue>, Failure> {
    let cache = || EntryQueue { name: "cache".to_owned(), queue: Arc::clone(&process.queue), sink: None };
    let (mut queues, lanes) = match target {
        None => (vec![cache()], process.lane_names().await?),
        Some(Target::Cache) => (vec![cache()], Vec::new()),
        Some(Target::Sink(name)) => (Vec::new(), process.lanes_of(name).await?),
    };
    for lane in lanes {
        queues.push(process.lane(lane).await?);
    }
    Ok(queues)
}
