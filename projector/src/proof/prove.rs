//! Comparing a whole sink with the cache, twice if the first comparison finds differences.

use super::collect::{ProofError, collect};
use super::compare::compare;
use super::finding::{Findings, SinkReport};
use millstream_pipeline::clock::Clock;
use millstream_pipeline::memory::MemoryBudget;
use millstream_pipeline::sink::Sink;
use millstream_store::connect::Database;
use std::time::Duration;

/// Pause before the second comparison.
const SECOND_AFTER: Duration = Duration::from_secs(1);

/// Compares everything that a sink holds with the cache and the tombstones. The sink is only read; deliveries to it
/// continue. `progress` gets the number of documents read so far.
///
/// # Errors
/// When the sink or the database cannot be read. Differences are not an error.
pub async fn prove(
    database: &Database,
    memory: &MemoryBudget,
    sink: &dyn Sink,
    clock: &dyn Clock,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<SinkReport, ProofError> {
    let first = compare_once(database, memory, sink, progress).await?;
    if first.is_empty() {
        return Ok(SinkReport::of(sink.describe(), &first, None));
    }
    clock.sleep(SECOND_AFTER).await;
    let second = compare_once(database, memory, sink, progress).await?;
    Ok(SinkReport::of(sink.describe(), &first, Some(&second)))
}

async fn compare_once(
    database: &Database,
    memory: &MemoryBudget,
    sink: &dyn Sink,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Findings, ProofError> {
    let copy = collect(database, sink, progress).await?;
    Ok(compare(database, memory, &copy).await?)
}
