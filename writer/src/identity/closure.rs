//! The identity closure, locked to a fixpoint (docs/design/edfi-identity.md#edfi-7.5).

use crate::attempt::AttemptError;
use crate::error::WriteError;
use crate::options::WriterOptions;
use crate::references::locked_ids;
use millstream_schema::plan::{Mapping, ResourceKeyId};
use millstream_store::error::StoreError;
use millstream_store::table::document::{self, LockedDocument};
use millstream_store::table::{edge, identity_lock};
use millstream_store::transaction::{
    Pipeline, StatementRef, WriteTransaction, limit_lock_waits, lock_turnstile, unlock_turnstile,
};
use std::collections::{BTreeSet, HashMap};

/// The identities that one round has locked.
#[derive(Debug)]
pub(crate) struct LockedRound {
    /// The references that are share-locked.
    pub(crate) references: BTreeSet<i64>,
    /// The closure, exclusively locked.
    pub(crate) closure: BTreeSet<i64>,
}

/// Begins the transaction, then takes under the turnstile share locks on what the seeds refer to, `references` included,
/// and exclusive ones on their closure. The turnstile need not cover the `Document` rows: those have no sharers that could
/// overlap. With `repaired`, documents of changeable types that lack their IdentityLock row get it; other types have none.
///
/// While this waits with the turnstile, no write that refers to any changeable document goes on. So each wait is short; a
/// round that ends without all locks releases everything, and the next one comes after a pause.
pub(crate) async fn lock_round(
    transaction: &mut WriteTransaction,
    options: &WriterOptions,
    references: Vec<i64>,
    seeds: Vec<i64>,
    repaired: Option<&Mapping>,
) -> Result<LockedRound, AttemptError> {
    let round = async {
        let mut pipeline = transaction.begin()?;
        limit_lock_waits(&mut pipeline, options.lock_round.min(options.lock_timeout));
        lock_turnstile(&mut pipeline);
        let share = identity_lock::lock_shared(&mut pipeline, references, seeds.clone());
        let references = locked_ids(&pipeline.run().await?, Some(share))?;
        let closure = lock_levels(transaction, options, seeds, repaired).await?;
        let mut pipeline = transaction.pipeline()?;
        unlock_turnstile(&mut pipeline);
        limit_lock_waits(&mut pipeline, options.lock_timeout);
        pipeline.run().await?;
        Ok(LockedRound { references, closure })
    };
    round.await.map_err(AttemptError::of_round)
}

/// Locks the identities of a closure, level by level, and returns it. No other transaction can add an identity edge into a
/// locked level meanwhile: that takes a share lock on its child.
async fn lock_levels(
    transaction: &WriteTransaction,
    options: &WriterOptions,
    seeds: Vec<i64>,
    repaired: Option<&Mapping>,
) -> Result<BTreeSet<i64>, AttemptError> {
    let mut ids = BTreeSet::new();
    let mut level = seeds;
    let mut depth = 0;
    while !level.is_empty() {
        let lockable = match repaired {
            Some(mapping) => changeable(transaction, mapping, &level).await?,
            None => level.clone(),
        };
        let mut pipeline = transaction.pipeline()?;
        if repaired.is_some() {
            identity_lock::ensure(&mut pipeline, lockable.clone());
        }
        let lock = identity_lock::lock_level(&mut pipeline, lockable.clone());
        let parents = edge::identity_parents(&mut pipeline, level.clone());
        let answers = pipeline.run().await?;
        if answers.count(lock) != lockable.len() {
            return Err(AttemptError::StartOver("a document of the closure was deleted meanwhile"));
        }
        ids.extend(level);
        level = Vec::new();
        level.extend(answers.rows(parents)?.into_iter().map(|row| row.parent).filter(|id| !ids.contains(id)));
        level.sort_unstable();
        depth += 1;
        check_bounds(options, ids.len() + level.len(), depth, level.is_empty())?;
    }
    Ok(ids)
}

/// Returns those of the documents whose identity can change.
pub(crate) async fn changeable(
    transaction: &WriteTransaction,
    mapping: &Mapping,
    ids: &[i64],
) -> Result<Vec<i64>, StoreError> {
    let types = document::types(transaction.client()?, ids).await?;
    let is_changeable = |key| mapping.by_key(key).is_some_and(|ix| mapping.resource(ix).changeable);
    Ok(types.iter().filter(|of| is_changeable(of.key)).map(|of| of.document_id).collect())
}

/// The rank of each resource type in an order in which every type comes after all that its identity contains.
pub(crate) fn identity_ranks(mapping: &Mapping) -> HashMap<ResourceKeyId, usize> {
    let ranks = mapping.identity_order.iter().enumerate();
    ranks.map(|(rank, ix)| (mapping.resource(*ix).key, rank)).collect()
}

/// Adds the locks of the Document rows of a closure and of the referrers that are stamped with it: all in one statement
/// and ascending, as every transaction that locks more than one takes them. One renamer's referrer may be a member of
/// another's closure, so in any other order, or partly after the rename lock, two renamers could wait for each other.
pub(crate) fn add_document_locks(
    pipeline: &mut Pipeline<'_>,
    ids: &BTreeSet<i64>,
    stamped: &[i64],
) -> StatementRef<LockedDocument> {
    let all: Vec<i64> = ids.iter().chain(stamped).copied().collect();
    document::lock_for_edit(pipeline, all)
}

/// Splits the rows of [`add_document_locks`] into those of the closure and those of the referrers.
pub(crate) fn split_documents(
    rows: Vec<LockedDocument>,
    ids: &BTreeSet<i64>,
) -> (Vec<LockedDocument>, Vec<LockedDocument>) {
    rows.into_iter().partition(|document| ids.contains(&document.document_id))
}

/// A closure whose IdentityLock and Document rows this transaction holds. Members are in an order in which every
/// document comes after all that its identity contains.
#[derive(Debug)]
pub(crate) struct Closure {
    members: Vec<LockedDocument>,
    ids: BTreeSet<i64>,
}

impl Closure {
    /// The closure with these identities; `members` are its rows.
    pub(crate) fn new(
        mapping: &Mapping,
        ids: BTreeSet<i64>,
        mut members: Vec<LockedDocument>,
    ) -> Result<Self, AttemptError> {
        if members.len() != ids.len() {
            return Err(AttemptError::StartOver("a document of the closure was deleted meanwhile"));
        }
        let order = identity_ranks(mapping);
        members.sort_by_key(|member| (order.get(&member.key).copied(), member.document_id));
        Ok(Self { members, ids })
    }

    /// Referenced before referring.
    pub(crate) fn members(&self) -> impl Iterator<Item = &LockedDocument> {
        self.members.iter()
    }

    /// Ids in the order of [`Closure::members`].
    pub(crate) fn ids(&self) -> Vec<i64> {
        self.members.iter().map(|member| member.document_id).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn contains(&self, document_id: i64) -> bool {
        self.ids.contains(&document_id)
    }
}

/// Refuses a closure that is too large or too deep. `complete` says whether it was walked to its end.
fn check_bounds(options: &WriterOptions, size: usize, depth: usize, complete: bool) -> Result<(), WriteError> {
    let at_least = if complete { "" } else { "at least " };
    if size > options.closure_max {
        return Err(WriteError::RenameRefused {
            detail: format!(
                "This identity change would rewrite the identities of {at_least}{size} items; at most {} are allowed (identity.closure_max).",
                options.closure_max
            ),
        });
    }
    if depth > options.closure_depth_max {
        return Err(WriteError::RenameRefused {
            detail: format!(
                "This identity change reaches {depth} levels of dependent identities; at most {} are allowed (identity.closure_depth_max).",
                options.closure_depth_max
            ),
        });
    }
    Ok(())
}
