//! Reading a batch in one snapshot: visible transactions, versions of documents, and their bodies.

use super::decision::{RebuildDecision, Requirement};
use crate::error::{During, ProjectorError};
use millstream_pipeline::queue::Work;
use millstream_schema::plan::Mapping;
use millstream_store::compose::{Composed, ComposedPart, DeferredDocument, compose_within};
use millstream_store::connect::{Database, Transaction};
use millstream_store::load::{Caches, DocumentHead, heads_by_id};
use millstream_store::table::{server, transactions};
use millstream_store::xid::Xid8;
use std::collections::{BTreeSet, HashMap, HashSet};

const ACTION: &str = "reading documents for a rebuild";

/// One document to rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RebuildRequest {
    pub(super) document_id: i64,
    pub(super) version: i64,
    /// The transaction that has to be visible; 0 if none has to be.
    pub(super) xid: u64,
    /// The history of the database that version and transaction belong to.
    pub(super) history: u64,
    pub(super) deleted: bool,
}

impl RebuildRequest {
    pub(super) const fn of(work: &Work) -> Self {
        Self {
            document_id: work.document_id,
            version: work.version,
            xid: work.xid,
            history: work.history,
            deleted: work.deleted,
        }
    }
}

/// The decision for each requested document in one snapshot, and the bodies to store.
#[derive(Debug, Default)]
pub(super) struct SnapshotRead {
    /// In the order of the requests.
    pub(super) decisions: Vec<RebuildDecision>,
    /// Bodies of the leading documents decided as [`RebuildDecision::Compose`].
    pub(super) composed: Vec<Composed>,
    /// The other documents decided so: their rows did not fit into memory.
    pub(super) deferred: Vec<DeferredDocument>,
}

/// Reads in one `REPEATABLE READ READ ONLY` transaction, which has ended when this returns. Rows that bodies are composed
/// from have at most `bytes_max` bytes.
pub(super) async fn read(
    database: &Database,
    mapping: &Mapping,
    caches: &Caches,
    requests: &[RebuildRequest],
    bytes_max: usize,
) -> Result<SnapshotRead, ProjectorError> {
    let mut client = database.get().await.during(ACTION)?;
    let tx = client.snapshot().await.during(ACTION)?;
    let read = read_in(&tx, mapping, caches, requests, bytes_max).await?;
    tx.commit().await.during(ACTION)?;
    Ok(read)
}

async fn read_in(
    tx: &Transaction<'_>,
    mapping: &Mapping,
    caches: &Caches,
    requests: &[RebuildRequest],
    bytes_max: usize,
) -> Result<SnapshotRead, ProjectorError> {
    let ids: Vec<i64> = requests.iter().map(|request| request.document_id).collect();
    // Sent together: the first to be executed takes the snapshot, and all read it.
    let (not_visible, heads, server) =
        futures::join!(not_visible(tx, requests), heads_by_id(tx, &ids), server::instance(tx));
    let not_visible = not_visible?;
    let server = server.during(ACTION)?;
    let history = server.history.unsigned_abs();
    let heads = heads.during(ACTION)?;
    let mut heads: HashMap<i64, DocumentHead> = heads.into_iter().map(|head| (head.document_id, head)).collect();

    let decisions: Vec<RebuildDecision> = requests
        .iter()
        .map(|request| {
            let head = heads.get(&request.document_id);
            if request.history != history {
                return Requirement::NONE.decide(head);
            }
            let visible = !not_visible.contains(&request.xid);
            Requirement { version: request.version, deleted: request.deleted, visible }.decide(head)
        })
        .collect();
    let to_compose: Vec<DocumentHead> = requests
        .iter()
        .zip(&decisions)
        .filter(|(_, decision)| **decision == RebuildDecision::Compose)
        .filter_map(|(request, _)| heads.remove(&request.document_id))
        .collect();
    let ComposedPart { composed, deferred } = match to_compose.is_empty() {
        true => ComposedPart::default(),
        false => compose_within(tx, mapping, caches, Some(server), to_compose, bytes_max).await.during(ACTION)?,
    };
    Ok(SnapshotRead { decisions, composed, deferred })
}

async fn not_visible(tx: &Transaction<'_>, requests: &[RebuildRequest]) -> Result<HashSet<u64>, ProjectorError> {
    // Most batches contain few transactions.
    let xids: BTreeSet<u64> = requests.iter().map(|request| request.xid).filter(|xid| *xid != 0).collect();
    if xids.is_empty() {
        return Ok(HashSet::new());
    }
    let xids: Vec<Xid8> = xids.into_iter().map(Xid8).collect();
    let missing = transactions::not_visible(tx, &xids).await.during(ACTION)?;
    Ok(missing.into_iter().map(|xid| xid.0).collect())
}
