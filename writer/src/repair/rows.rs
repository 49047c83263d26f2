//! The repair of one document's derived rows, in one transaction with a writer's locks (docs/design/rules.md#rule-1).

use crate::attempt::{AttemptError, abandon};
use crate::identity::closure::changeable;
use crate::options::WriterOptions;
use crate::references::locked_ids;
use millstream_pipeline::{ChangeKind, NewChange};
use millstream_schema::plan::Mapping;
use millstream_store::connect::Database;
use millstream_store::error::StoreError;
use millstream_store::load::heads_by_id;
use millstream_store::repair::{RepairAction, RowPlan, plan_rows};
use millstream_store::table::edge::EdgeChange;
use millstream_store::table::{cache, descriptor, document, edge, identity_lock, sequence, tombstone};
use millstream_store::transaction::{WriteTransaction, limit_lock_waits, share_locks};
use std::collections::BTreeSet;

/// One attempt. `first` was planned without locks; what is done is planned again under them. `new_version` draws one even
/// if nothing is wrong. Returns the steps; none if the document is gone or right by now.
pub(super) async fn repair(
    database: &Database,
    mapping: &Mapping,
    options: &WriterOptions,
    first: &RowPlan,
    new_version: bool,
) -> Result<Vec<RepairAction>, AttemptError> {
    let mut transaction = WriteTransaction::open(database).await?;
    match attempt(&mut transaction, mapping, options, first, new_version).await {
        Ok(done) => {
            transaction.committed();
            Ok(done)
        }
        Err(error) => abandon(transaction, error).await,
    }
}

async fn attempt(
    transaction: &mut WriteTransaction,
    mapping: &Mapping,
    options: &WriterOptions,
    first: &RowPlan,
    new_version: bool,
) -> Result<Vec<RepairAction>, AttemptError> {
    let id = first.head.document_id;
    let mut pipeline = transaction.begin()?;
    // The pool of a command has no limit of its own.
    limit_lock_waits(&mut pipeline, options.lock_timeout);
    let inserted = first.lock_missing.then(|| identity_lock::ensure(&mut pipeline, vec![id]));
    let locks = share_locks(&mut pipeline, first.edges_new.keys().copied().collect(), vec![id], false);
    let row = document::lock_for_edit(&mut pipeline, vec![id]);
    let answers = pipeline.run().await?;
    let locked = locked_ids(&answers, Some(locks))?;
    let mut done = Vec::new();
    if inserted.is_some_and(|inserted| answers.count(inserted) > 0) {
        done.push(RepairAction::InsertIdentityLock);
    }
    // Statements of their own: they see what was committed while this transaction waited for its locks.
    let plan = match answers.count(row) {
        0 => None,
        _ => planned_now(transaction, mapping, id).await?,
    };
    let Some(plan) = plan else {
        commit(transaction).await?;
        return Ok(Vec::new());
    };
    check_locked(transaction, mapping, &plan, &locked).await?;
    done.extend(plan.actions());
    if new_version && !plan.needs_version() && plan.underivable.is_none() {
        done.push(RepairAction::NewVersion);
    }
    write(transaction, &plan, done.contains(&RepairAction::NewVersion)).await?;
    Ok(done)
}

async fn planned_now(
    transaction: &WriteTransaction,
    mapping: &Mapping,
    id: i64,
) -> Result<Option<RowPlan>, StoreError> {
    let client = transaction.client()?;
    let heads = heads_by_id(client, &[id]).await?;
    Ok(plan_rows(client, mapping, heads).await?.pop())
}

/// A version may be drawn only while every changeable document that this one refers to, before or after, is locked.
async fn check_locked(
    transaction: &WriteTransaction,
    mapping: &Mapping,
    plan: &RowPlan,
    locked: &BTreeSet<i64>,
) -> Result<(), AttemptError> {
    let children: Vec<i64> = plan.edges_new.keys().chain(plan.edges_old.keys()).copied().collect();
    let mut unlocked = changeable(transaction, mapping, &children).await?;
    unlocked.retain(|id| !locked.contains(id));
    if unlocked.is_empty() {
        return Ok(());
    }
    // A document that is referred to may lack its row: without it, it could never be locked.
    let mut pipeline = transaction.pipeline()?;
    let missing = identity_lock::ensure(&mut pipeline, unlocked);
    let answers = pipeline.run().await?;
    if answers.count(missing) > 0 {
        commit(transaction).await?;
    }
    Err(AttemptError::StartOver("a reference changed while it was being locked"))
}

async fn write(transaction: &WriteTransaction, plan: &RowPlan, new_version: bool) -> Result<(), AttemptError> {
    let (id, uuid, key) = (plan.head.document_id, plan.head.uuid, plan.head.key);
    let client = transaction.client()?;
    if plan.tombstone {
        tombstone::delete(client, &[uuid]).await?;
    }
    if plan.cache.is_some() {
        cache::evict(client, &[id]).await?;
    }
    let mut drawn = None;
    if new_version {
        let mut pipeline = transaction.pipeline()?;
        let draw = sequence::draw_version(&mut pipeline);
        drawn = Some(pipeline.run().await?.one(draw)?.version);
    }
    let mut pipeline = transaction.pipeline()?;
    if plan.lock_missing {
        identity_lock::ensure(&mut pipeline, vec![id]);
    }
    if let Some(columns) = &plan.descriptor {
        descriptor::set_derived_columns(&mut pipeline, id, columns.uri.clone(), columns.uri_lower.clone(), key);
    }
    let (old, new) = (&plan.edges_old, plan.edges_new.clone());
    edge::replace(&mut pipeline, [EdgeChange { parent: id, old, new }]);
    if let Some(version) = drawn {
        document::stamp(&mut pipeline, vec![id], vec![version]);
        let change = NewChange {
            document_id: id,
            document_uuid: uuid,
            resource_key: key,
            kind: ChangeKind::Touch,
            content_version: version,
        };
        millstream_outbox::add(&mut pipeline, [&change]);
    }
    pipeline.commit();
    pipeline.run().await.map_err(|error| AttemptError::of_write(error, "Descriptor"))?;
    Ok(())
}

async fn commit(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut pipeline = transaction.pipeline()?;
    pipeline.commit();
    pipeline.run().await.map(drop)
}
