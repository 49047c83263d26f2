//! The audit: compares identities, edges and cached bodies with the rows that they were derived from.
//!
//! It goes through all documents in ranges of ids, each range in one `REPEATABLE READ` snapshot, so it can run beside
//! live writers. Identities are computed from rows alone, level by level down the references, never from stored
//! IdentityValues; edges from every reference column of every table; bodies by the composer that the projector uses.
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

pub use report::{Difference, DifferenceKind, Differences, Report};

use crate::connect::Database;
use crate::error::StoreError;
use crate::load::heads_after;
use computed::ComputedIdentities;
use deadpool_postgres::GenericClient;
use millstream_schema::plan::Mapping;
use range::Range;
use tokio_postgres::IsolationLevel;

/// Options of an audit.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Documents per range: memory and the age of a snapshot grow with it.
    pub range_documents: u32,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { range_documents: 2_000 }
    }
}

/// Audits the whole database. Calls `progress` after every range with the report so far.
pub async fn verify(
    database: &Database,
    mapping: &Mapping,
    options: &VerifyOptions,
    progress: &mut (dyn FnMut(&Report) + Send),
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let mut client = database.get().await?;
    let mut after = i64::MIN;
    loop {
        let snapshot =
            client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
        let heads = heads_after(&snapshot, after, options.range_documents.max(1)).await?;
        let Some(last) = heads.last() else {
            snapshot.commit().await?;
            break;
        };
        after = last.document_id;
        check_range(&snapshot, Range::load(&snapshot, mapping, heads).await?, &mut report).await?;
        snapshot.commit().await?;
        progress(&report);
    }
    existence::check_misplaced_rows(&client, mapping, &mut report).await?;
    orphans::check(&client, mapping, &mut report).await?;
    Ok(report)
}

/// Runs every check on one range.
async fn check_range<C: GenericClient>(
    client: &C,
    mut range: Range<'_>,
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
    bodies::check(client, &range, composed, report).await
}
