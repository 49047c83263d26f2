//! Comparisons of a sink with the cache: the report, and the repair of what differs. Used by the process that delivers to
//! the sink, and by `millstream verify` where no process runs.

use crate::{
    control::protocol::{FindingExample, ProveOnly, SinkComparison},
    failure::Failure,
    process::state::resource_name,
};
use millstream_pipeline::{memory::MemoryBudget, queue::WorkQueue, sink::Sink};
use millstream_projector::{
    Clock, SystemClock,
    proof::{self, Finding, FindingKind, ProofError, SinkReport},
};
use millstream_schema::plan::Mapping;
use millstream_store::connect::Database;
use std::{collections::BTreeMap, time::Duration};

/// Examples of each kind in a report.
const EXAMPLES_MAX: usize = 10;
/// Documents of which a sink holds a newer version, in a report.
const NEWER_MAX: usize = 1_000;

/// Enqueues every difference that delivery can repair into the lane of the sink; returns how many.
pub(crate) async fn enqueue_repairs(lane: &dyn WorkQueue, report: &SinkReport) -> Result<u64, Failure> {
    let now_ms = SystemClock.now_ms();
    let work: Vec<_> = report.findings.iter().filter_map(|finding| finding.mending(now_ms)).collect();
    let enqueued = work.len() as u64;
    if enqueued > 0 {
        lane.put(work, None).await.map_err(Failure::failed)?;
    }
    Ok(enqueued)
}

/// Compares a sink with the cache: single documents by id, or the whole sink. `progress` gets the number of documents read.
pub(crate) async fn compare(
    database: &Database,
    memory: &MemoryBudget,
    sink: &dyn Sink,
    only: Option<&ProveOnly>,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<SinkReport, ProofError> {
    if let Some(ProveOnly::Documents(documents)) = only {
        return proof::prove_documents(database, memory, sink, &SystemClock, documents).await;
    }
    let mut report = proof::prove(database, memory, sink, &SystemClock, progress).await?;
    if let Some(ProveOnly::Resource(key)) = only {
        report.retain_type(*key);
    }
    Ok(report)
}

/// Converts the report of a comparison. `enqueued` is the number of enqueued repairs, if repairs were asked for.
pub(crate) fn comparison(
    mapping: &Mapping,
    lane: &str,
    report: &SinkReport,
    enqueued: Option<u64>,
    took: Duration,
) -> SinkComparison {
    let mut examples: BTreeMap<String, Vec<FindingExample>> = BTreeMap::new();
    for finding in &report.findings {
        let of_kind = examples.entry(finding.kind.name().to_owned()).or_default();
        if of_kind.len() < EXAMPLES_MAX {
            of_kind.push(example(mapping, finding));
        }
    }
    let newer = || report.findings.iter().filter(|finding| finding.kind == FindingKind::Newer);
    SinkComparison {
        lane: lane.to_owned(),
        sink: report.sink.clone(),
        compared: report.compared,
        differences: report.differences(),
        counts: report.counts.iter().map(|(kind, count)| (kind.name().to_owned(), *count)).collect(),
        examples,
        behind: report.behind,
        mended: enqueued.unwrap_or_default(),
        unmended: enqueued.map(|enqueued| report.differences().saturating_sub(enqueued)),
        took_ms: took.as_millis() as u64,
        waiting: 0,
        mended_by: None,
        newer: newer().take(NEWER_MAX).map(|finding| finding.uuid).collect(),
        newer_version_max: newer().filter_map(|finding| finding.held).max(),
    }
}

fn example(mapping: &Mapping, finding: &Finding) -> FindingExample {
    FindingExample {
        id: finding.uuid,
        resource: finding.resource_key.and_then(|key| resource_name(mapping, key)),
        expected: finding.version,
        found: finding.held,
    }
}
