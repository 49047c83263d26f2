//! One look at a few documents: tables and cache in one snapshot, copies in one sink by id.

use super::incident::MismatchKind;
use crate::error::{During, ProjectorError};
use crate::proof::{ProofError, compare_documents};
use millstream_pipeline::sink::Sink;
use millstream_schema::plan::Mapping;
use millstream_store::connect::Database;
use millstream_store::load::{DocumentHead, heads_after, heads_by_uuid};
use millstream_store::verify::verify_heads;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio_postgres::IsolationLevel;
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

/// Looks at tables and cache: one connection, one snapshot, a deadline per statement. Returns every document of the batch.
pub(super) async fn look_at_tables(
    database: &Database,
    mapping: &Mapping,
    batch: &Batch,
    statement_timeout: Duration,
) -> Result<BTreeMap<Uuid, Seen>, ProjectorError> {
    let mut client = database.get().await.during(ACTION)?;
    let snapshot = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .during(ACTION)?;
    let limit = format!("SET LOCAL statement_timeout = {}", statement_timeout.as_millis());
    snapshot.batch_execute(&limit).await.during(ACTION)?;
    let heads = match batch {
        Batch::After(after, count) => heads_after(&snapshot, *after, *count).await,
        Batch::Documents(documents) => heads_by_uuid(&snapshot, documents).await,
    };
    let heads = heads.during(ACTION)?;
    let mut seen: BTreeMap<Uuid, Seen> =
        heads.iter().map(|head| (head.uuid, Seen { head: head.clone(), kinds: BTreeSet::new() })).collect();
    let report = verify_heads(&snapshot, mapping, heads).await.during(ACTION)?;
    snapshot.commit().await.during(ACTION)?;
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
    sink: &dyn Sink,
    documents: &[Uuid],
) -> Result<BTreeMap<Uuid, crate::proof::Finding>, ProofError> {
    let findings = compare_documents(database, sink, documents).await?;
    Ok(findings.by_document().iter().map(|(uuid, finding)| (*uuid, finding.clone())).collect())
}
