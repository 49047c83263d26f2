//! Comparisons of a sink with the cache: the report, and the repair of what differs. Used by the process that delivers to
//! the sink, and by `millstream verify` where no process runs.

use crate::{
    control::protocol::{FindingExample, SinkComparison},
    failure::Failure,
    process::state::resource_name,
};
use millstream_pipeline::queue::WorkQueue;
use millstream_projector::{
    Clock, SystemClock,
    proof::{Finding, SinkReport},
};
use millstream_schema::plan::Mapping;
use std::{collections::BTreeMap, time::Duration};

/// Examples of each kind in a report.
const EXAMPLES_MAX: usize = 10;

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
