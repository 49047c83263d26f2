//! One look at a few documents: tables and cache in one snapshot, copies in one sink by id.

use super::incident::MismatchKind;
use crate::error::{During, ProjectorError};
use crate::proof::{ProofError, compare_documents};
use millstream_pipeline::memory::MemoryBudget;
use millstream_pipeline::sink::Sink;
use millstream_schema::plan::Mapping;
use millstream_store::connect::Database;
use millstream_store::load::DocumentHead;
use millstream_store::verify::{Report, Scope, VerifyOptions, Walk};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const ACTION: &str = "checking documents";

/// The documents of a look.
#[derive(Debug, Clone)]
pub(super) enum Batch {
    /// The next so many after this DocumentId.
    After(i64, u32),
    /// These.
    Documents(Vec<Uuid>),
}

/// One document as it was seen.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) head: DocumentHead,
    pub(super) kinds: BTreeSet<MismatchKind>,
}

/// Looks at tables and cache: one connection and one snapshot at a time, a deadline per statement. Returns the documents
/// of the batch; of [`Batch::After`] only the leading ones whose rows fit into memory together.
pub(super) async fn look_at_tables(
    database: &Database,
    mapping: &Mapping,
    batch: &Batch,
    options: &VerifyOptions,
) -> Result<BTreeMap<Uuid, Seen>, ProjectorError> {
    let mut report = Report::default();
    let heads = match batch {
        Batch::After(after, count) => {
            let options = VerifyOptions { range_documents: *count, ..options.clone() };
            Walk::after(*after).next(database, mapping, &options, &mut report).await.during(ACTION)?
        }
        Batch::Documents(documents) => {
            let mut walk = Walk::new(&Scope::Documents(documents.clone()));
            let mut heads = Vec::new();
            loop {
                let checked = walk.next(database, mapping, options, &mut report).await.during(ACTION)?;
                if checked.is_empty() {
                    break heads;
                }
                heads.extend(checked);
            }
        }
    };
    let mut seen: BTreeMap<Uuid, Seen> =
        heads.into_iter().map(|head| (head.uuid, Seen { head, kinds: BTreeSet::new() })).collect();
    for (uuid, kinds) in report.concerned.iter() {
        if let Some(seen) = seen.get_mut(&uuid) {
            seen.kinds.extend(kinds.iter().map(|kind| MismatchKind::Tables(*kind)));
            if kinds.is_empty() {
                seen.kinds.insert(MismatchKind::CacheBehind);
            }
        }
    }
    Ok(seen)
}

/// Looks at the copies of these documents in a sink; returns those that differ.
pub(super) async fn look_at_sink(
    database: &Database,
    memory: &MemoryBudget,
    sink: &dyn Sink,
    documents: &[Uuid],
) -> Result<BTreeMap<Uuid, crate::proof::Finding>, ProofError> {
    let findings = compare_documents(database, memory, sink, documents).await?;
    Ok(findings.by_document().iter().map(|(uuid, finding)| (*uuid, finding.clone())).collect())
}
