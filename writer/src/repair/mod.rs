//! Repairs of derived rows: IdentityLock rows, descriptor columns, edges and their flags, tombstones, identities.
//!
//! A repair is a write like any other (docs/design/rules.md#rule-1): it takes the locks of a writer for the rows of one
//! document (`rows`), those of a renamer for identities (`identities`), recomputes under them, and draws versions
//! where readers or copies may have seen wrong values. Order matters: identities are found through edges, so the rows of
//! all documents come first. Own rows of documents are never changed; what they do not determine is left and reported.
//!
//! Documents of a type whose identity cannot change have no IdentityLock row, so nothing keeps a writer from referring to
//! one while its identity is repaired. Such a writer resolves it by the stored identity; the audit after the repair or
//! the next one finds a document that was written under the stale values.

mod decision;
mod identities;
mod report;
mod rows;

use crate::attempt::AttemptError;
use crate::error::WriteError;
use crate::options::WriterOptions;
use decision::IdentityDecision;
use identities::IdentityRepair;
use millstream_schema::plan::Mapping;
use millstream_store::connect::Database;
use millstream_store::error::StoreError;
use millstream_store::load::{DocumentHead, heads_by_id, heads_by_uuid};
use millstream_store::repair::{DocumentRepair, RepairAction, RowPlan, descriptor_referrers, plan_rows};
use millstream_store::retry::{RetryError, RetryPolicy, with_retry};
use report::Repairs;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// Documents whose rows are read together.
const DOCUMENTS_TOGETHER: usize = 100;
/// Documents whose identities are repaired in one transaction, with their closures.
const IDENTITIES_TOGETHER: usize = 500;
/// Documents that embed the URI of a descriptor, per page.
const REFERRERS_PAGE: i64 = 1_000;

/// Repairs the derived rows of documents. Cheap to clone; uses up to two connections of the pool at a time.
#[derive(Clone, Debug)]
pub struct Repairer {
    database: Database,
    mapping: Arc<Mapping>,
    options: WriterOptions,
    retry: RetryPolicy,
}

impl Repairer {
    /// A repairer on a provisioned database. The options are those of the writer.
    pub fn new(database: Database, mapping: Arc<Mapping>, options: WriterOptions) -> Self {
        Self { database, mapping, options, retry: RetryPolicy::default() }
    }

    /// Returns what [`Repairer::repair`] would do, document by document, from one snapshot per hundred documents. Documents
    /// that need nothing are left out. Changes nothing and takes no locks.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn plan(&self, documents: &[Uuid]) -> Result<Vec<DocumentRepair>, WriteError> {
        let mut repairs = Repairs::new(&self.mapping);
        for chunk in documents.chunks(DOCUMENTS_TOGETHER) {
            self.plan_together(chunk, &mut repairs).await.map_err(WriteError::from_store)?;
        }
        Ok(repairs.into_documents())
    }

    async fn plan_together(&self, documents: &[Uuid], repairs: &mut Repairs<'_>) -> Result<(), StoreError> {
        let mut client = self.database.get().await?;
        let snapshot = client.snapshot().await?;
        let heads = heads_by_uuid(&snapshot, documents).await?;
        let mut ids = Vec::with_capacity(heads.len());
        for plan in plan_rows(&snapshot, &self.mapping, heads).await? {
            repairs.planned(&plan);
            // The identity of a descriptor follows from its URI, which the repair corrects first.
            if !plan.descriptor.as_ref().is_some_and(|columns| columns.uri_changed) {
                ids.push(plan.head.document_id);
            }
        }
        for decided in decision::decide(&snapshot, &self.mapping, &ids).await? {
            match decided.decision {
                IdentityDecision::Right => {}
                IdentityDecision::Rewrite { rows, propagates } => {
                    let keys = rows.iter().map(|row| row.key).collect();
                    repairs.add(&decided.head, RepairAction::RewriteIdentity { keys, propagates });
                }
                IdentityDecision::Uncomputable(reason) => repairs.leave_uncomputable(&decided.head, &reason),
            }
        }
        snapshot.commit().await?;
        Ok(())
    }

    /// Repairs these documents and returns what was done, document by document: also for documents that a repaired
    /// identity reached. Documents that need nothing are left out, as are those that do not exist.
    ///
    /// # Errors
    /// When the database fails. Each document's rows are repaired in one transaction, identities in a few: what was
    /// committed stays, and a second call does the rest. A document that cannot be repaired is reported; it is not an error.
    pub async fn repair(&self, documents: &[Uuid]) -> Result<Vec<DocumentRepair>, WriteError> {
        let mut repairs = Repairs::new(&self.mapping);
        let mut seeds = BTreeSet::new();
        for chunk in documents.chunks(DOCUMENTS_TOGETHER) {
            for plan in self.row_plans(chunk).await.map_err(WriteError::from_store)? {
                seeds.insert(plan.head.document_id);
                self.repair_rows(plan, &mut repairs, &mut seeds).await?;
            }
        }
        let seeds: Vec<i64> = seeds.into_iter().collect();
        for chunk in seeds.chunks(IDENTITIES_TOGETHER) {
            self.repair_identities(chunk, &mut repairs).await?;
        }
        Ok(repairs.into_documents())
    }

    async fn row_plans(&self, documents: &[Uuid]) -> Result<Vec<RowPlan>, StoreError> {
        let client = self.database.get().await?;
        let heads = heads_by_uuid(&client, documents).await?;
        plan_rows(&client, &self.mapping, heads).await
    }

    /// Repairs the rows of one document, and of a descriptor whose URI changed also gives the documents that embed it new
    /// versions and adds them to `seeds`: their identities may contain the URI.
    async fn repair_rows(
        &self,
        plan: RowPlan,
        repairs: &mut Repairs<'_>,
        seeds: &mut BTreeSet<i64>,
    ) -> Result<(), WriteError> {
        if let Some(reason) = &plan.underivable {
            repairs.leave(&plan.head, reason.clone());
            return Ok(());
        }
        if plan.actions().is_empty() {
            return Ok(());
        }
        let attempt = |_| rows::repair(&self.database, &self.mapping, &self.options, &plan, false);
        let done = match with_retry(&self.retry, "repair", attempt).await {
            Ok(done) => done,
            Err(error) => {
                repairs.leave(&plan.head, reason_unless_lost(error)?);
                return Ok(());
            }
        };
        let uri_changed = plan.descriptor.as_ref().is_some_and(|columns| columns.uri_changed);
        let mut referrers = 0;
        if uri_changed && !done.is_empty() {
            referrers = self.reach_referrers(&plan.head, repairs, seeds).await?;
        }
        for action in done {
            let action = match action {
                RepairAction::DeriveDescriptorColumns { .. } => RepairAction::DeriveDescriptorColumns { referrers },
                action => action,
            };
            repairs.add(&plan.head, action);
        }
        Ok(())
    }

    /// Gives every document that embeds a descriptor's URI a new version; returns their number.
    async fn reach_referrers(
        &self,
        descriptor: &DocumentHead,
        repairs: &mut Repairs<'_>,
        seeds: &mut BTreeSet<i64>,
    ) -> Result<u64, WriteError> {
        let (mut reached, mut after) = (0, i64::MIN);
        loop {
            let plans = self.referrers_after(descriptor, after).await.map_err(WriteError::from_store)?;
            let Some(last) = plans.last() else { return Ok(reached) };
            after = last.head.document_id;
            for plan in plans {
                let attempt = |_| rows::repair(&self.database, &self.mapping, &self.options, &plan, true);
                match with_retry(&self.retry, "repair", attempt).await {
                    Ok(_) => reached += 1,
                    Err(error) => repairs.leave(&plan.head, reason_unless_lost(error)?),
                }
                seeds.insert(plan.head.document_id);
            }
        }
    }

    async fn referrers_after(&self, descriptor: &DocumentHead, after: i64) -> Result<Vec<RowPlan>, StoreError> {
        let client = self.database.get().await?;
        let (id, key) = (descriptor.document_id, descriptor.key);
        let ids = descriptor_referrers(&client, &self.mapping, id, key, after, REFERRERS_PAGE).await?;
        let heads = heads_by_id(&client, &ids).await?;
        plan_rows(&client, &self.mapping, heads).await
    }

    /// Repairs the identities of these documents and of their closures, together if possible: two documents may have each
    /// other's ReferentialIds. If that fails, one by one.
    async fn repair_identities(&self, seeds: &[i64], repairs: &mut Repairs<'_>) -> Result<(), WriteError> {
        let damaged = self.damaged(seeds, repairs).await.map_err(WriteError::from_store)?;
        if damaged.is_empty() {
            return Ok(());
        }
        match self.repair_closures(&damaged, repairs).await? {
            None => Ok(()),
            Some((head, reason)) if damaged.len() == 1 => {
                repairs.leave(&head, reason);
                Ok(())
            }
            Some(_) => {
                for head in damaged {
                    if let Some((head, reason)) = self.repair_closures(&[head], repairs).await? {
                        repairs.leave(&head, reason);
                    }
                }
                Ok(())
            }
        }
    }

    /// Returns those of the documents whose stored identity is wrong. Looks without locks.
    async fn damaged(&self, seeds: &[i64], repairs: &mut Repairs<'_>) -> Result<Vec<DocumentHead>, StoreError> {
        let client = self.database.get().await?;
        let mut damaged = Vec::new();
        for decided in decision::decide(&client, &self.mapping, seeds).await? {
            match decided.decision {
                IdentityDecision::Right => {}
                IdentityDecision::Rewrite { .. } => damaged.push(decided.head),
                IdentityDecision::Uncomputable(reason) => repairs.leave_uncomputable(&decided.head, &reason),
            }
        }
        Ok(damaged)
    }

    /// One transaction for these documents and their closures. Returns the first document and a reason if they cannot be
    /// repaired. Documents that hold one of their ReferentialIds are taken along: theirs may be as wrong.
    async fn repair_closures(
        &self,
        damaged: &[DocumentHead],
        repairs: &mut Repairs<'_>,
    ) -> Result<Option<(DocumentHead, String)>, WriteError> {
        let Some(first) = damaged.first() else { return Ok(None) };
        let mut seeds: BTreeSet<i64> = damaged.iter().map(|head| head.document_id).collect();
        loop {
            let attempt = |_| identities::repair(&self.database, &self.mapping, &self.options, &seeds);
            let taken = match with_retry(&self.retry, "repair", attempt).await {
                Ok(IdentityRepair::Done(done)) => {
                    for (head, action) in done {
                        repairs.add(&head, action);
                    }
                    return Ok(None);
                }
                Ok(IdentityRepair::Taken(holders)) => holders,
                Err(error) => return Ok(Some((first.clone(), reason_unless_lost(error)?))),
            };
            if taken.is_subset(&seeds) {
                let holders: Vec<String> = taken.iter().map(ToString::to_string).collect();
                let holders = holders.join(", ");
                let reason =
                    format!("its identity is that of document {holders} as well: change or delete one of them");
                return Ok(Some((first.clone(), reason)));
            }
            seeds.extend(taken);
        }
    }
}

/// The reason why a document was not repaired; an error if the database is not available, so that the rest is not tried.
fn reason_unless_lost(error: RetryError<AttemptError>) -> Result<String, WriteError> {
    let error = crate::attempt::final_error(error);
    match error {
        WriteError::OutcomeUnknown(_) => Err(error),
        WriteError::Unavailable(ref of) if of.is_outage() => Err(error),
        WriteError::RenameRefused { detail } | WriteError::IdentityConflict { detail } => Ok(detail),
        error => Ok(millstream_pipeline::error::chain(&error)),
    }
}
