//! Handlers of requests about the generations of a sink. Each generation has a lane of its own until it is dropped, so
//! that all of them are kept current and a rollback is as safe as a swap.

use super::{proof, sinks::REMOVE_DEADLINE};
use crate::{
    control::protocol::{
        GenerationEntry, GenerationList, IndexBuildStarted, IndexDropped, IndexLive, ProofReport, SinkProof,
    },
    failure::Failure,
    process::{sinks::sink_failure, state::RunningProcess},
    sinks::LaneName,
};
use millstream_pipeline::sink::generations::{Generation, Generations};
use millstream_projector::sink_manager::backfill;
use std::sync::Arc;

fn lane(sink: &str, generation: u32) -> String {
    LaneName { sink, generation: Some(generation) }.to_string()
}

fn indexes(process: &RunningProcess, sink: &str) -> Result<Arc<dyn Generations>, Failure> {
    process.sinks.generations(sink).map_err(Failure::usage)
}

async fn generations(process: &RunningProcess, sink: &str) -> Result<Vec<Generation>, Failure> {
    indexes(process, sink)?.list().await.map_err(Failure::failed)
}

/// Returns the generation that was named, or the newest.
async fn or_newest(process: &RunningProcess, sink: &str, generation: Option<u32>) -> Result<u32, Failure> {
    let all = generations(process, sink).await?;
    let newest = all.iter().map(|generation| generation.number).max();
    generation.or(newest).ok_or_else(|| Failure::usage(format!("{sink} has no generation yet: add it as a sink first")))
}

pub(super) async fn list(process: &RunningProcess, sink: &str) -> Result<GenerationList, Failure> {
    let lanes = process.lane_names().await?;
    let entries = generations(process, sink).await?.into_iter().map(|generation| GenerationEntry {
        generation: generation.number,
        live: generation.live,
        kept_current: lanes.contains(&lane(sink, generation.number)),
        created_at_ms: generation.created_at_ms,
        documents: generation.documents,
        bytes: generation.bytes,
        schema_hash: generation.schema_hash,
        mapping_current: generation.mapping_current,
    });
    Ok(GenerationList { generations: entries.collect() })
}

/// Creates the next generation and starts its backfill. An empty one that a crash left without a lane is used again.
pub(super) async fn build(
    process: &RunningProcess,
    sink: &str,
    per_s: Option<u32>,
) -> Result<IndexBuildStarted, Failure> {
    let lanes = process.lane_names().await?;
    let all = generations(process, sink).await?;
    let orphan = all.iter().find(|one| !one.live && one.mapping_current && !lanes.contains(&lane(sink, one.number)));
    let generation = match orphan {
        Some(orphan) if orphan.documents == 0 => orphan.number,
        _ => indexes(process, sink)?.create().await.map_err(Failure::failed)?,
    };
    let lane = lane(sink, generation);
    process.sink_manager.add(&lane, Some(backfill(per_s))).await.map_err(sink_failure)?;
    Ok(IndexBuildStarted { generation, targets: vec![lane] })
}

pub(super) async fn compare(
    process: &RunningProcess,
    sink: &str,
    generation: Option<u32>,
) -> Result<ProofReport, Failure> {
    let generation = or_newest(process, sink, generation).await?;
    proof::prove(process, Some(&lane(sink, generation)), false, None).await
}

/// Makes a generation live. Unless `unchecked`, it is compared with the cache first, and a difference prevents the swap.
pub(super) async fn swap(
    process: &RunningProcess,
    sink: &str,
    generation: Option<u32>,
    unchecked: bool,
) -> Result<IndexLive, Failure> {
    let live = or_newest(process, sink, generation).await?;
    if !unchecked {
        let report = proof::prove(process, Some(&lane(sink, live)), false, None).await?;
        if let Some(problem) = report.sinks.first().and_then(obstacle) {
            return Err(Failure::failed(format!(
                "generation {live} of {sink} differs from the source ({problem}), so the live one stays: wait until it is \
                 built, or see `millstream index compare`"
            )));
        }
    }
    indexes(process, sink)?.swap(live).await.map_err(Failure::failed)?;
    tracing::info!(sink, generation = live, "searches are now answered from another generation");
    Ok(IndexLive { live })
}

/// Returns why a generation must not become live.
fn obstacle(report: &SinkProof) -> Option<String> {
    match report {
        SinkProof::Compared(comparison) if comparison.differences == 0 => None,
        SinkProof::Compared(comparison) => {
            let counts = comparison.counts.iter().map(|(kind, count)| format!("{kind}: {count}"));
            Some(counts.collect::<Vec<_>>().join(", "))
        }
        SinkProof::NotCompared { not_compared, .. } => Some(not_compared.clone()),
        SinkProof::Failed { error, .. } => Some(error.clone()),
    }
}

/// Makes the newest generation before the live one live again.
pub(super) async fn rollback(process: &RunningProcess, sink: &str) -> Result<IndexLive, Failure> {
    let all = generations(process, sink).await?;
    let live = all.iter().find(|generation| generation.live).map(|generation| generation.number);
    let before = all.iter().map(|generation| generation.number).filter(|number| Some(*number) < live).max();
    let Some(before) = before else {
        return Err(Failure::usage(format!("{sink} has no generation before the live one to roll back to")));
    };
    swap(process, sink, Some(before), false).await
}

pub(super) async fn drop_generation(
    process: &RunningProcess,
    sink: &str,
    generation: u32,
) -> Result<IndexDropped, Failure> {
    let all = generations(process, sink).await?;
    if all.iter().any(|one| one.number == generation && one.live) {
        return Err(Failure::usage(format!("generation {generation} of {sink} is live: swap another one in first")));
    }
    let lane = lane(sink, generation);
    if process.lane_names().await?.contains(&lane) {
        process.sink_manager.remove(&lane, REMOVE_DEADLINE).await.map_err(sink_failure)?;
    }
    indexes(process, sink)?.remove(generation).await.map_err(Failure::failed)?;
    Ok(IndexDropped { dropped: generation })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::SinkComparison;

    #[test]
    fn only_a_comparison_without_differences_lets_a_generation_become_live() {
        let compared = |differences: u64| {
            let counts = [("missing".to_owned(), differences)].into();
            SinkProof::Compared(Box::new(SinkComparison { differences, counts, ..SinkComparison::default() }))
        };
        let lane = || "opensearch-g2".to_owned();
        assert_eq!(obstacle(&compared(0)), None);
        assert_eq!(obstacle(&compared(3)).as_deref(), Some("missing: 3"));
        let failed = SinkProof::Failed { lane: lane(), error: "away".to_owned() };
        let elsewhere = SinkProof::NotCompared { lane: lane(), not_compared: "elsewhere".to_owned() };
        assert_eq!(obstacle(&failed).as_deref(), Some("away"));
        assert_eq!(obstacle(&elsewhere).as_deref(), Some("elsewhere"));
    }
}
