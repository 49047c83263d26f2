//! The handler of comparisons of sinks with the cache.

use crate::{
    control::protocol::{ProofReport, ProveOnly, SinkProof},
    failure::Failure,
    process::{sinks::EntryQueue, state::RunningProcess},
    sink_proof::{compare, comparison, enqueue_repairs},
};
use std::time::Instant;

/// Compares the lanes that a name means; all of them without one.
pub(super) async fn prove(
    process: &RunningProcess,
    sink: Option<&str>,
    repair: bool,
    only: Option<&ProveOnly>,
) -> Result<ProofReport, Failure> {
    let lanes = match sink {
        Some(sink) => process.lanes_of(sink).await?,
        None => process.lane_names().await?,
    };
    let mut sinks = Vec::with_capacity(lanes.len());
    for lane in lanes {
        if !process.sink_manager.serves(&lane).await {
            let not_compared = "another process delivers to it: run the command with its data folder, or with one that no process uses";
            sinks.push(SinkProof::NotCompared { lane, not_compared: not_compared.to_owned() });
            continue;
        }
        let lane = process.lane(lane).await?;
        sinks.push(prove_lane(process, lane, repair, only).await?);
    }
    Ok(ProofReport { sinks })
}

async fn prove_lane(
    process: &RunningProcess,
    lane: EntryQueue,
    repair: bool,
    only: Option<&ProveOnly>,
) -> Result<SinkProof, Failure> {
    let EntryQueue { name, queue, sink } = lane;
    let Some(sink) = sink else {
        let error = "the sink cannot be opened here: see `millstream status`; another process may deliver to it";
        return Ok(SinkProof::Failed { lane: name, error: error.to_owned() });
    };
    let started = Instant::now();
    let mut progress = |held: u64| tracing::debug!(lane = name, held, "reading the documents of a sink");
    let report = match compare(&process.pools.background, &process.memory, &*sink, only, &mut progress).await {
        Ok(report) => report,
        Err(error) => return Ok(SinkProof::Failed { lane: name, error: Failure::failed(error).to_string() }),
    };
    let waiting = queue.stats().await.map_err(Failure::failed)?.depth;
    let enqueued = if repair { Some(enqueue_repairs(&*queue, &report).await?) } else { None };
    let mut comparison = comparison(&process.mapping, &name, &report, enqueued, started.elapsed());
    comparison.waiting = waiting;
    Ok(SinkProof::Compared(Box::new(comparison)))
}
