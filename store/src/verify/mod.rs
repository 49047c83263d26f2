//! The audit: do identities, edges and cached bodies agree with the rows that they were derived from?
//!
//! It goes through all documents in ranges of ids, each range in one `REPEATABLE READ` snapshot, so it can run beside
//! live writers. Identities are computed from rows alone, level by level down the references, never from stored
//! IdentityValues; edges from every reference column of every table; bodies by the composer that the projector uses.
//! What is merely not done yet (an older version in the cache) is `behind`; what is wrong at an equal version is a
//! difference (docs/design/rules.md#rule-30).

mod bodies;
mod edges;
mod existence;
mod identities;
mod orphans;
mod range;
mod report;
mod truth;

pub use report::{Difference, DifferenceKind, Differences, Report};

use crate::connect::Database;
use crate::error::StoreError;
use crate::load::heads_after;
use millstream_schema::plan::Mapping;
use range::Range;
use tokio_postgres::IsolationLevel;

/// How to audit.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Documents of one range: memory and the age of a snapshot grow with it.
    pub range_documents: u32,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { range_documents: 2_000 }
    }
}

/// Audits the whole database. `progress` is called after every range with what was found so far.
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
        Range::load(&snapshot, mapping, heads).await?.check(&snapshot, &mut report).await?;
        snapshot.commit().await?;
        progress(&report);
    }
    existence::check_misplaced_rows(&client, mapping, &mut report).await?;
    orphans::check(&client, mapping, &mut report).await?;
    Ok(report)
}
