//! The audit: compares identities, edges and cached bodies with the rows that they were derived from.
//!
//! It goes through all documents in ranges of ids, each range in one `REPEATABLE READ` snapshot and within a number of
//! bytes, so it can run beside live writers. Identities are computed from rows alone, level by level down the
//! references, never from stored IdentityValues; edges from every reference column of every table; bodies by the composer that the projector uses.
//! Pending work (an older version in the cache) counts as `behind`; a disagreement at an equal version is a difference
//! (docs/design/rules.md#rule-30).

mod bodies;
mod computed;
mod edges;
mod existence;
mod identities;
mod orphans;
mod range;
mod report;
mod scope;
mod walk;

pub(crate) use computed::ComputedIdentities;
pub use report::{ConcernedDocuments, Difference, DifferenceKind, Differences, Report};
pub use scope::Scope;
pub use walk::Walk;

use crate::connect::Database;
use crate::connect::GenericClient;
use crate::error::StoreError;
use millstream_pipeline::memory::MemoryBudget;
use millstream_schema::plan::Mapping;
use range::Range;
use std::time::Duration;

/// Options of an audit.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Documents per range at most: the age of a snapshot grows with it.
    pub range_documents: u32,
    /// The memory that ranges are read within.
    pub memory: MemoryBudget,
    /// How long one statement may take at most; without it the session's own limit holds.
    pub statement_timeout: Option<Duration>,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { range_documents: 2_000, memory: MemoryBudget::default(), statement_timeout: None }
    }
}

/// Audits the whole database. Calls `progress` after every range with the report so far.
pub async fn verify(
    database: &Database,
    mapping: &Mapping,
    options: &VerifyOptions,
    progress: &mut (dyn FnMut(&Report) + Send),
) -> Result<Report, StoreError> {
    verify_scope(database, mapping, &Scope::All, options, progress).await
}

/// Audits a part of the database. Rows that belong to no document, or that are in the root table of another type, are
/// looked for only in [`Scope::All`]: that reads whole tables.
pub async fn verify_scope(
    database: &Database,
    mapping: &Mapping,
    scope: &Scope,
    options: &VerifyOptions,
    progress: &mut (dyn FnMut(&Report) + Send),
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let mut walk = Walk::new(scope);
    while !walk.next(database, mapping, options, &mut report).await?.is_empty() {
        progress(&report);
    }
    if *scope == Scope::All {
        let client = database.get().await?;
        existence::check_misplaced_rows(&client, mapping, &mut report).await?;
        orphans::check(&client, mapping, &mut report).await?;
    }
    Ok(report)
}

/// Runs every check on one range.
async fn check_range<C: GenericClient>(
    client: &C,
    mut range: Range<'_>,
    bytes_max: usize,
    report: &mut Report,
) -> Result<(), StoreError> {
    report.documents += range.ids.len() as u64;
    let tables = range.batch.types.values().flat_map(|rows| &rows.tables);
    report.rows += tables.map(|table| table.len() as u64).sum::<u64>();
    let composed = std::mem::take(&mut range.composed);
    existence::check(client, &range, report).await?;
    let computed = ComputedIdentities::load(client, &range).await?;
    identities::check(client, &range, &computed, report).await?;
    edges::check(client, &range, report).await?;
    bodies::check(client, &range, composed, bytes_max, report).await
}
