//! The repair of identities, in one transaction with a renamer's locks (docs/design/rules.md#rule-1): the documents, every
//! document whose identity contains theirs, and versions for all that embed a value that changes.

use super::decision::{IdentityDecision, decide};
use crate::attempt::{AttemptError, abandon};
use crate::identity::closure::check_bounds;
use crate::identity::referrers::Referrers;
use crate::options::WriterOptions;
use millstream_pipeline::{ChangeKind, NewChange};
use millstream_schema::plan::{Mapping, ResourceKeyId};
use millstream_store::connect::Database;
use millstream_store::error::StoreError;
use millstream_store::load::DocumentHead;
use millstream_store::repair::RepairAction;
use millstream_store::table::document::{self, LockedDocument};
use millstream_store::table::identity::{self, NewIdentity};
use millstream_store::table::{edge, identity_lock, sequence};
use millstream_store::transaction::{WriteTransaction, lock_renames, lock_turnstile, unlock_turnstile};
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
    let closure = lock_closure(transaction, mapping, options, seeds).await?;
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

/// The turnstile, share locks on what the seeds refer to, exclusive locks on the closure level by level. Documents of
/// changeable types that lack their IdentityLock row get it; other types have none.
async fn lock_closure(
    transaction: &mut WriteTransaction,
    mapping: &Mapping,
    options: &WriterOptions,
    seeds: &BTreeSet<i64>,
) -> Result<Vec<i64>, AttemptError> {
    let mut level: Vec<i64> = seeds.iter().copied().collect();
    let mut pipeline = transaction.begin()?;
    lock_turnstile(&mut pipeline);
    identity_lock::lock_shared(&mut pipeline, Vec::new(), level.clone());
    pipeline.run().await?;
    let (mut ids, mut depth) = (BTreeSet::new(), 0);
    while !level.is_empty() {
        let types = document::types(transaction.client()?, &level).await?;
        let is_changeable = |key| mapping.by_key(key).is_some_and(|ix| mapping.resource(ix).changeable);
        let lockable: Vec<i64> = types.iter().filter(|of| is_changeable(of.key)).map(|of| of.document_id).collect();
        let mut pipeline = transaction.pipeline()?;
        identity_lock::ensure(&mut pipeline, lockable.clone());
        let lock = identity_lock::lock_level(&mut pipeline, lockable.clone());
        let parents = edge::identity_parents(&mut pipeline, level.clone());
        let answers = pipeline.run().await?;
        if answers.count(lock) != lockable.len() {
            return Err(AttemptError::StartOver("a document of the closure was deleted meanwhile"));
        }
        ids.extend(level);
        level = answers.rows(parents)?.into_iter().map(|row| row.parent).filter(|id| !ids.contains(id)).collect();
        level.sort_unstable();
        depth += 1;
        check_bounds(options, ids.len() + level.len(), depth, level.is_empty())?;
    }
    let mut pipeline = transaction.pipeline()?;
    unlock_turnstile(&mut pipeline);
    pipeline.run().await?;
    Ok(ids.into_iter().collect())
}

/// Decides under the locks which members have a wrong identity.
async fn rewrites(transaction: &WriteTransaction, mapping: &Mapping, closure: &[i64]) -> Result<Rewrites, StoreError> {
    let mut found = Rewrites::default();
    let ranks = mapping.identity_order.iter().enumerate();
    let rank: HashMap<ResourceKeyId, usize> = ranks.map(|(rank, ix)| (mapping.resource(*ix).key, rank)).collect();
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
    let rewritten = rewrites.heads.iter().map(|head| head.document_id);
    let ids: BTreeSet<i64> = rewritten.chain(referrers.to_stamp().iter().copied()).collect();
    let mut pipeline = transaction.pipeline()?;
    let rows = document::lock_for_rename(&mut pipeline, ids.into_iter().collect());
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
    let members = changes(&renamed, own, ChangeKind::Identity);
    let stamps = changes(&stamped, stamps, ChangeKind::Touch);
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

fn changes(documents: &[&LockedDocument], versions: &[i64], kind: ChangeKind) -> Vec<NewChange> {
    let pairs = documents.iter().zip(versions);
    pairs
        .map(|(document, version)| NewChange {
            document_id: document.document_id,
            document_uuid: document.uuid,
            resource_key: document.key,
            kind,
            content_version: *version,
        })
        .collect()
}
