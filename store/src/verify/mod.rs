//! The audit: compares identities, edges and cached bodies with the rows that they were derived from.
//!
//! It goes through all documents in ranges of ids, each range in one `REPEATABLE READ` snapshot and within a number of
//! bytes, so it can run beside live writers. Identities are computed from rows alone, level by level down the references, never from stored
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

use crate::compose::DeferredDocument;
use crate::connect::Database;
use crate::error::StoreError;
use crate::load::heads_after;
use computed::ComputedIdentities;
use deadpool_postgres::GenericClient;
use millstream_pipeline::memory::MemoryBudget;
use millstream_schema::plan::Mapping;
use range::{Range, RangePart, difference};
use tokio_postgres::IsolationLevel;

/// Most bytes of rows in a range, and of cached bodies that are compared with it at once.
const RANGE_BYTES: usize = 16 << 20;

/// A range takes its rows and the bodies composed from them.
const COPIES: usize = 2;

/// Options of an audit.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Documents per range at most: the age of a snapshot grows with it.
    pub range_documents: u32,
    /// The memory that ranges are read within.
    pub memory: MemoryBudget,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { range_documents: 2_000, memory: MemoryBudget::default() }
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
    let mut after = i64::MIN;
    while let Some(last) = check_next(database, mapping, options, after, &mut report).await? {
        after = last;
        progress(&report);
    }
    let client = database.get().await?;
    existence::check_misplaced_rows(&client, mapping, &mut report).await?;
    orphans::check(&client, mapping, &mut report).await?;
    Ok(report)
}

/// Checks the next range. Returns its last document, or `None` if no document is left.
async fn check_next(
    database: &Database,
    mapping: &Mapping,
    options: &VerifyOptions,
    after: i64,
    report: &mut Report,
) -> Result<Option<i64>, StoreError> {
    let (mut documents, mut bytes_max) = (options.range_documents.max(1), options.memory.portion(RANGE_BYTES));
    let mut oversized: Option<DeferredDocument> = None;
    loop {
        let _reserved = match (options.memory.reserve(bytes_max.saturating_mul(COPIES)).await, oversized) {
            (Ok(reserved), _) => reserved,
            (Err(over), Some(DeferredDocument { head, .. })) => {
                let expected = "a body".to_owned();
                report.add(DifferenceKind::Uncomposable, difference(mapping, &head, expected, over.to_string()));
                return Ok(Some(head.document_id));
            }
            (Err(over), None) => return Err(StoreError::other(format!("a range of documents cannot be read: {over}"))),
        };
        let mut client = database.get().await?;
        let snapshot =
            client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
        let heads = heads_after(&snapshot, after, documents).await?;
        if heads.is_empty() {
            snapshot.commit().await?;
            return Ok(None);
        }
        match Range::load(&snapshot, mapping, heads, bytes_max).await? {
            RangePart::Leading(range) => {
                let last = range.ids.last().copied();
                check_range(&snapshot, range, bytes_max, report).await?;
                snapshot.commit().await?;
                return Ok(last);
            }
            RangePart::Oversized(document) => {
                snapshot.commit().await?;
                (documents, bytes_max) = (1, document.bytes.max(bytes_max + 1));
                oversized = Some(document);
            }
        }
    }
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
