//! Everything that a rebuild reads, out of one snapshot: what is visible, which versions there are, and the bodies.

use super::decision::{RebuildDecision, Requirement};
use crate::error::ProjectorError;
use millstream_outbox::Xid8;
use millstream_schema::plan::Mapping;
use millstream_store::compose::{Composed, compose_documents};
use millstream_store::connect::{Database, Transaction};
use millstream_store::load::{Caches, DocumentHead, heads_by_id};
use std::collections::{BTreeSet, HashMap, HashSet};
use tokio_postgres::IsolationLevel;

const ACTION: &str = "reading documents for a rebuild";

/// The transactions among `$1` that this snapshot does not show yet.
const NOT_VISIBLE_SQL: &str = r#"
SELECT x."TransactionId" FROM unnest($1::xid8[]) AS x("TransactionId")
WHERE NOT pg_visible_in_snapshot(x."TransactionId", pg_current_snapshot())"#;

/// One document that a rebuild was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) document_id: i64,
    pub(crate) version: i64,
    /// The transaction that has to be visible; 0 if none has to be.
    pub(crate) xid: u64,
    pub(crate) deleted: bool,
}

/// What one snapshot says about each wanted document, and the bodies of those that are to be stored.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// In the order of the wanted documents.
    pub(crate) judgements: Vec<RebuildDecision>,
    /// Bodies of exactly the documents judged [`RebuildDecision::Compose`].
    pub(crate) composed: Vec<Composed>,
}

/// Reads in one `REPEATABLE READ READ ONLY` transaction, which is over when this returns.
pub(crate) async fn read(
    database: &Database,
    mapping: &Mapping,
    caches: &Caches,
    wanted: &[Wanted],
) -> Result<Seen, ProjectorError> {
    let mut client = database.get().await.map_err(ProjectorError::database(ACTION))?;
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(ProjectorError::database(ACTION))?;
    let seen = read_in(&tx, mapping, caches, wanted).await?;
    tx.commit().await.map_err(ProjectorError::database(ACTION))?;
    Ok(seen)
}

async fn read_in(
    tx: &Transaction<'_>,
    mapping: &Mapping,
    caches: &Caches,
    wanted: &[Wanted],
) -> Result<Seen, ProjectorError> {
    let ids: Vec<i64> = wanted.iter().map(|wanted| wanted.document_id).collect();
    // Sent together; whichever comes first takes the snapshot, and both read it.
    let (not_visible, heads) = futures::join!(not_visible(tx, wanted), heads_by_id(tx, &ids));
    let not_visible = not_visible?;
    let heads = heads.map_err(ProjectorError::database(ACTION))?;
    let mut heads: HashMap<i64, DocumentHead> = heads.into_iter().map(|head| (head.document_id, head)).collect();

    let judgements: Vec<RebuildDecision> = wanted
        .iter()
        .map(|wanted| {
            let visible = !not_visible.contains(&wanted.xid);
            let requirement = Requirement { version: wanted.version, deleted: wanted.deleted, visible };
            requirement.decide(heads.get(&wanted.document_id))
        })
        .collect();
    let to_compose: Vec<DocumentHead> = wanted
        .iter()
        .zip(&judgements)
        .filter(|(_, judgement)| **judgement == RebuildDecision::Compose)
        .filter_map(|(wanted, _)| heads.remove(&wanted.document_id))
        .collect();
    let composed = match to_compose.is_empty() {
        true => Vec::new(),
        false => compose_documents(tx, mapping, caches, to_compose).await.map_err(ProjectorError::database(ACTION))?,
    };
    Ok(Seen { judgements, composed })
}

async fn not_visible(tx: &Transaction<'_>, wanted: &[Wanted]) -> Result<HashSet<u64>, ProjectorError> {
    // A batch usually holds few transactions.
    let xids: BTreeSet<u64> = wanted.iter().map(|wanted| wanted.xid).filter(|xid| *xid != 0).collect();
    if xids.is_empty() {
        return Ok(HashSet::new());
    }
    let xids: Vec<Xid8> = xids.into_iter().map(Xid8).collect();
    let statement = tx.prepare_cached(NOT_VISIBLE_SQL).await.map_err(ProjectorError::database(ACTION))?;
    let rows = tx.query(&statement, &[&xids]).await.map_err(ProjectorError::database(ACTION))?;
    rows.iter()
        .map(|row| row.try_get::<_, Xid8>(0).map(|xid| xid.0).map_err(ProjectorError::database(ACTION)))
        .collect()
}
