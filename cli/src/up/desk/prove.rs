//! Sinks compared with the cache, and what was found wrong owed again.

use super::{Spot, failed, lanes};
use crate::{failure::Failure, up::board::About};
use millstream_pipeline::queue::WorkQueue;
use millstream_projector::{
    Clock, SystemClock,
    proof::{self, Finding, SinkReport},
};
use millstream_schema::plan::Mapping;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Instant};

/// Examples told of each kind.
const EXAMPLES_MAX: usize = 10;

/// Compares the sinks that are meant; all of them without a name.
pub(super) async fn prove(about: &About, sink: Option<&str>, repair: bool) -> Result<Value, Failure> {
    let names = match sink {
        Some(sink) => lanes(about, sink).await?,
        None => about.fleet.names().await.map_err(failed)?,
    };
    let mut reports = Vec::with_capacity(names.len());
    for name in names {
        if !about.fleet.serves(&name).await {
            let reason = "another process delivers to it: ask with its data folder, or with one where nothing runs";
            reports.push(json!({"lane": name, "not_compared": reason}));
            continue;
        }
        let (queue, sink) = about.fleet.get(&name).await.map_err(failed)?;
        let spot = Spot { name, queue, sink };
        reports.push(prove_one(about, &spot, repair).await?);
    }
    Ok(json!({"sinks": reports}))
}

async fn prove_one(about: &About, spot: &Spot, repair: bool) -> Result<Value, Failure> {
    let Some(sink) = &spot.sink else {
        return Ok(
            json!({"lane": spot.name, "error": "the sink cannot be opened here: see `millstream status`; another process may deliver to it"}),
        );
    };
    let started = Instant::now();
    let mut progress = |held: u64| tracing::debug!(lane = spot.name, held, "reading what a sink holds");
    let report = match proof::prove(&about.database, &**sink, &SystemClock, &mut progress).await {
        Ok(report) => report,
        Err(error) => return Ok(json!({"lane": spot.name, "error": Failure::failed(error).to_string()})),
    };
    let waiting = spot.queue.stats().await.map_err(Failure::failed)?.depth;
    let mended = if repair { Some(mend(&*spot.queue, &report).await?) } else { None };
    let mut told = told(Some(&about.mapping), &spot.name, &report, mended, started);
    told["waiting"] = json!(waiting);
    Ok(told)
}

/// Owes a sink's lane what was found wrong, as far as that can be mended. Answers how much was.
pub(crate) async fn mend(lane: &dyn WorkQueue, report: &SinkReport) -> Result<usize, Failure> {
    let now_ms = SystemClock.now_ms();
    let work: Vec<_> = report.findings.iter().filter_map(|finding| finding.mending(now_ms)).collect();
    let mended = work.len();
    if mended > 0 {
        lane.put(work, None).await.map_err(Failure::failed)?;
    }
    Ok(mended)
}

/// A sink's report as commands are told it: with how much was mended, if that was asked for. Types have names where the
/// mapping is at hand.
pub(crate) fn told(
    mapping: Option<&Mapping>,
    lane: &str,
    report: &SinkReport,
    mended: Option<usize>,
    started: Instant,
) -> Value {
    let mut examples: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for finding in &report.findings {
        let of_kind = examples.entry(finding.kind.name()).or_default();
        if of_kind.len() < EXAMPLES_MAX {
            of_kind.push(example(mapping, finding));
        }
    }
    json!({
        "lane": lane,
        "sink": report.sink,
        "compared": report.compared,
        "differences": report.differences(),
        "counts": report.counts.iter().map(|(kind, count)| (kind.name(), *count)).collect::<BTreeMap<_, _>>(),
        "examples": examples,
        "behind": report.behind,
        "mended": mended.unwrap_or_default(),
        "unmended": mended.map(|mended| report.differences().saturating_sub(mended as u64)),
        "took_ms": started.elapsed().as_millis() as u64,
    })
}

fn example(mapping: Option<&Mapping>, finding: &Finding) -> Value {
    let key = finding.resource_key;
    let resource = mapping.and_then(|mapping| mapping.resources.iter().find(|resource| Some(resource.key) == key));
    json!({
        "id": finding.uuid,
        "resource": resource.map(|resource| format!("{}/{}", resource.project_endpoint, resource.endpoint)),
        "expected": finding.version,
        "found": finding.held,
    })
}
