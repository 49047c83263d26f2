//! The repair of identities, in one transaction with a renamer's locks (docs/design/rules.md#rule-1): the documents, every
//! document whose identity contains theirs, and versions for all that embed a value that changes.

use super::decision::{IdentityDecision, decide};
use crate::attempt::{AttemptError, abandon};
use crate::identity::changes;
use crate::identity::closure::{LockedRound, add_document_locks, identity_ranks, lock_round};
use crate::identity::referrers::Referrers;
use crate::options::WriterOptions;
use millstream_pipeline::ChangeKind;
use millstream_schema::plan::{Mapping, ResourceKeyId};
use millstream_store::connect::Database;
use millstream_store::error::StoreError;
use millstream_store::load::DocumentHead;
use millstream_store::repair::RepairAction;
use millstream_store::table::document::{self, LockedDocument};
use millstream_store::table::identity::{self, NewIdentity};
use millstream_store::table::sequence;
use millstream_store::transaction::{WriteTransaction, lock_renames};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// The result of one transaction.
#[derive(Debug)]
pub(super) enum IdentityRepair {
    /// Committed: the rewritten documents.
    Done(Vec<(DocumentHead, RepairAction)>),
    /// Rolled back: these documents hold ReferentialIds that the repaired ones must have.
    Taken(BTreeSet<i64>),
}

/// The documents to rewrite.
#[derive(Debug, Default)]
struct Rewrites {
    heads: Vec<DocumentHead>,
    rows: Vec<NewIdentity>,
    /// Those whose values change, referenced before referring.
    renamed: Vec<i64>,
}

/// One attempt.
pub(super) async fn repair(
    database: &Database,
    mapping: &Mapping,
    options: &WriterOptions,
    seeds: &BTreeSet<i64>,
) -> Result<IdentityRepair, AttemptError> {
    let mut transaction = WriteTransaction::open(database).await?;
    match attempt(&mut transaction, mapping, options, seeds).await {
        Ok(IdentityRepair::Done(done)) if !done.is_empty() => {
            transaction.committed();
            Ok(IdentityRepair::Done(done))
        }
        Ok(nothing) => {
            transaction.rollback().await?;
            Ok(nothing)
        }
        Err(error) => abandon(transaction, error).await,
    }
}

async fn attempt(
    transaction: &mut WriteTransaction,
    mapping: &Mapping,
    options: &WriterOptions,
    seeds: &BTreeSet<i64>,
) -> Result<IdentityRepair, AttemptError> {
    let seeds = seeds.iter().copied().collect();
    let LockedRound { closure, .. } = lock_round(transaction, options, Vec::new(), seeds, Some(mapping)).await?;
    let closure: Vec<i64> = closure.into_iter().collect();
    let rewrites = rewrites(transaction, mapping, &closure).await?;
    if rewrites.heads.is_empty() {
        return Ok(IdentityRepair::Done(Vec::new()));
    }
    let renamed: BTreeSet<i64> = rewrites.renamed.iter().copied().collect();
    let referrers = match renamed.is_empty() {
        true => Referrers::Strict(Vec::new()),
        false => Referrers::find(transaction, &renamed, options.strict_max).await?,
    };
    let documents = lock_documents(transaction, &rewrites, &referrers).await?;
    let ids: Vec<i64> = rewrites.heads.iter().map(|head| head.document_id).collect();
    let hashes: Vec<Uuid> = rewrites.rows.iter().map(|row| row.referential_id).collect();
    let holders = identity::holders(transaction.client()?, &hashes, &ids).await?;
    if !holders.is_empty() {
        return Ok(IdentityRepair::Taken(holders.into_iter().map(|holder| holder.document_id).collect()));
    }
    write(transaction, &rewrites, &referrers, &documents, ids).await?;
    let action = |head: DocumentHead| {
        let of_head = rewrites.rows.iter().filter(|row| row.document_id == head.document_id);
        let keys: Vec<ResourceKeyId> = of_head.map(|row| row.key).collect();
        let propagates = renamed.contains(&head.document_id);
        (head, RepairAction::RewriteIdentity { keys, propagates })
    };
    Ok(IdentityRepair::Done(rewrites.heads.iter().cloned().map(action).collect()))
}

/// Decides under the locks which members have a wrong identity.
async fn rewrites(transaction: &WriteTransaction, mapping: &Mapping, closure: &[i64]) -> Result<Rewrites, StoreError> {
    let mut found = Rewrites::default();
    let rank = identity_ranks(mapping);
    let mut decided = decide(transaction.client()?, mapping, closure).await?;
    decided.sort_by_key(|decided| (rank.get(&decided.head.key).copied(), decided.head.document_id));
    for decided in decided {
        if let IdentityDecision::Rewrite { rows, propagates } = decided.decision {
            if propagates {
                found.renamed.push(decided.head.document_id);
            }
            found.rows.extend(rows);
            found.heads.push(decided.head);
        }
    }
    Ok(found)
}

/// Locks the rows of all documents that are rewritten or stamped, in one statement and ascending.
async fn lock_documents(
    transaction: &WriteTransaction,
    rewrites: &Rewrites,
    referrers: &Referrers,
) -> Result<HashMap<i64, LockedDocument>, AttemptError> {
    let rewritten: BTreeSet<i64> = rewrites.heads.iter().map(|head| head.document_id).collect();
    let mut pipeline = transaction.pipeline()?;
    let rows = add_document_locks(&mut pipeline, &rewritten, referrers.to_stamp());
    let rows = pipeline.run().await?.rows(rows)?.into_iter();
    let documents: HashMap<i64, LockedDocument> = rows.map(|row| (row.document_id, row)).collect();
    if rewrites.heads.iter().all(|head| documents.contains_key(&head.document_id)) {
        Ok(documents)
    } else {
        Err(AttemptError::StartOver("a document of the closure was deleted meanwhile"))
    }
}

async fn write(
    transaction: &WriteTransaction,
    rewrites: &Rewrites,
    referrers: &Referrers,
    documents: &HashMap<i64, LockedDocument>,
    ids: Vec<i64>,
) -> Result<(), AttemptError> {
    let renamed = rewrites.renamed.iter().filter_map(|id| documents.get(id));
    let stamped = referrers.to_stamp().iter().filter_map(|id| documents.get(id));
    let (renamed, stamped): (Vec<_>, Vec<_>) = (renamed.collect(), stamped.collect());
    let mut versions = Vec::new();
    if !renamed.is_empty() {
        let mut pipeline = transaction.pipeline()?;
        lock_renames(&mut pipeline);
        let draw = sequence::draw_versions(&mut pipeline, renamed.len() + stamped.len());
        versions.extend(pipeline.run().await?.rows(draw)?.into_iter().map(|row| row.version));
    }
    let (own, stamps) = versions.split_at(renamed.len().min(versions.len()));
    let members = changes(renamed.iter().copied(), own, ChangeKind::Identity);
    let stamps = changes(stamped.iter().copied(), stamps, ChangeKind::Touch);
    let mut pipeline = transaction.pipeline()?;
    identity::delete(&mut pipeline, ids);
    identity::insert(&mut pipeline, rewrites.rows.clone());
    if !members.is_empty() {
        let (ids, versions) = members.iter().map(|change| (change.document_id, change.content_version)).unzip();
        document::rename(&mut pipeline, ids, versions);
        referrers.add(&mut pipeline, &stamps, &members);
        millstream_outbox::add(&mut pipeline, members.iter().chain(&stamps));
    }
    pipeline.commit();
    pipeline.run().await.map_err(|error| AttemptError::of_write(error, "ReferentialIdentity"))?;
    Ok(())
}
