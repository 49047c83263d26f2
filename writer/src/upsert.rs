//! POST and PUT, in two phases (docs/design/rules.md#rule-9). Phase 1 reads one snapshot; if the request changes
//! nothing, it ends there, without a lock and without WAL. Phase 2 is a transaction that locks, reads everything again,
//! and writes.

use crate::attempt::{AttemptError, abandon, final_error};
use crate::error::WriteError;
use crate::identity;
use crate::identity_rows::identity_rows;
use crate::references::{References, locked_ids};
use crate::request::{Outcome, Written};
use crate::resolve::{Binding, CurrentRow, Resolved};
use crate::rows::{BoundDocument, add_inserts, add_replacements, content_hash};
use crate::upsert_request::UpsertRequest;
use millstream_pipeline::ChangeKind;
use millstream_store::error::StoreError;
use millstream_store::retry::{RetryPolicy, with_retry};
use millstream_store::table::document::NewDocument;
use millstream_store::table::edge::EdgeChange;
use millstream_store::table::{document, edge, identity as identity_table, identity_lock, sequence};
use millstream_store::transaction::{PipelineRows, WriteTransaction, share_locks};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// One POST or PUT.
pub(crate) struct Upsert<'a>(pub(crate) UpsertRequest<'a>);

impl Upsert<'_> {
    /// Makes attempts until the write is committed or refused.
    pub(crate) async fn run(&self, retry: &RetryPolicy) -> Result<Written, WriteError> {
        let operation = if self.0.route.is_some() { "put" } else { "post" };
        with_retry(retry, operation, |_| Box::pin(self.attempt())).await.map_err(final_error)
    }

    /// Makes one attempt at the whole write.
    async fn attempt(&self) -> Result<Written, AttemptError> {
        let request = &self.0;
        let transaction = WriteTransaction::open(request.database).await?;
        let mut pipeline = transaction.pipeline()?;
        let resolution = request.add_resolution(&mut pipeline);
        let resolved = Resolved::new(pipeline.run().await?.rows(resolution)?)?;
        let current = request.admit(resolved.current.as_ref())?;
        let binding = resolved.bind(request.flat)?;
        match current {
            None => self.insert(transaction, &binding).await,
            Some(current) if current.referential_id != request.flat.referential_id => {
                identity::Rename { request, document_id: current.document_id }.run(transaction, &binding).await
            }
            Some(current) if current.content_hash == content_hash(request.resource, request.flat, &binding) => {
                Ok(unchanged(current))
            }
            Some(current) => self.update(transaction, current.document_id, &binding).await,
        }
    }

    async fn insert(&self, mut transaction: WriteTransaction, first: &Binding) -> Result<Written, AttemptError> {
        let UpsertRequest { resource, flat, .. } = self.0;
        let mut pipeline = transaction.begin()?;
        let needs_locks = self.0.shares_locks();
        let locks = needs_locks.then(|| share_locks(&mut pipeline, first.changeable(flat), Vec::new(), false));
        let resolution = self.0.add_resolution(&mut pipeline);
        let draw = sequence::draw_document(&mut pipeline);
        let answers = match pipeline.run().await {
            Ok(answers) => answers,
            Err(error) => return abandon(transaction, error).await,
        };
        let resolved = Resolved::new(answers.rows(resolution)?)?;
        let locked = locked_ids(&answers, locks)?;
        let binding = match self.recheck_insert(&resolved, &locked) {
            Ok(binding) => binding,
            Err(error) => return abandon(transaction, error).await,
        };
        let sequence::DrawnDocument { document_id, version } = answers.one(draw)?;
        let uuid = Uuid::now_v7();
        let values = binding.identity_values(resource, flat)?;
        let mut pipeline = transaction.pipeline()?;
        let key = resource.key;
        let content_hash = content_hash(resource, flat, &binding);
        document::insert(&mut pipeline, NewDocument { document_id, uuid, key, version, content_hash });
        identity_table::insert(&mut pipeline, identity_rows(resource, document_id, &values));
        if resource.changeable {
            identity_lock::insert(&mut pipeline, vec![document_id]);
        }
        add_inserts(&mut pipeline, resource, &[BoundDocument { document_id, flat, binding: &binding }]);
        let (old, new) = (BTreeMap::new(), binding.edges(flat));
        edge::replace(&mut pipeline, [EdgeChange { parent: document_id, old: &old, new }]);
        let change = self.0.change(document_id, uuid, ChangeKind::Upsert, version);
        millstream_outbox::add(&mut pipeline, [&change]);
        pipeline.commit();
        let result = pipeline.run().await;
        self.finish(transaction, result, Written { outcome: Outcome::Created, uuid, version }).await
    }

    /// Repeats the checks of phase 1 for an insert on the rows that phase 2 read under its locks.
    fn recheck_insert(&self, resolved: &Resolved, locked: &BTreeSet<i64>) -> Result<Binding, AttemptError> {
        if resolved.current.is_some() {
            return Err(AttemptError::StartOver("the document was created meanwhile"));
        }
        let binding = resolved.bind(self.0.flat)?;
        if binding.changeable(self.0.flat).iter().all(|id| locked.contains(id)) {
            Ok(binding)
        } else {
            Err(AttemptError::StartOver("a reference changed while it was being locked"))
        }
    }

    async fn update(
        &self,
        mut transaction: WriteTransaction,
        document_id: i64,
        first: &Binding,
    ) -> Result<Written, AttemptError> {
        let UpsertRequest { resource, flat, .. } = self.0;
        let mut pipeline = transaction.begin()?;
        let needs_locks = self.0.shares_locks();
        let locks = needs_locks.then(|| share_locks(&mut pipeline, first.changeable(flat), vec![document_id], false));
        let row = document::lock_for_edit(&mut pipeline, vec![document_id]);
        let edges = edge::children(&mut pipeline, vec![document_id]);
        let resolution = self.0.add_resolution(&mut pipeline);
        let draw = sequence::draw_version(&mut pipeline);
        let answers = match pipeline.run().await {
            Ok(answers) => answers,
            Err(error) => return abandon(transaction, error).await,
        };
        let resolved = Resolved::new(answers.rows(resolution)?)?;
        let locked = locked_ids(&answers, locks)?;
        let gone = answers.count(row) == 0;
        let version = answers.one(draw)?.version;
        let stored = if gone { None } else { Some(References::of(&answers.rows(edges)?)) };
        let current = resolved.current.as_ref();
        let bind = || resolved.bind(flat);
        let locked = match self.0.recheck_edit(document_id, stored, current, bind, |id| locked.contains(id)) {
            Ok(locked) => locked,
            Err(error) => return abandon(transaction, error).await,
        };
        let content_hash = content_hash(resource, flat, &locked.binding);
        if locked.current.content_hash == content_hash {
            transaction.rollback().await?;
            return Ok(unchanged(&locked.current));
        }
        let mut pipeline = transaction.pipeline()?;
        add_replacements(&mut pipeline, resource, &[BoundDocument { document_id, flat, binding: &locked.binding }]);
        let new = locked.binding.edges(flat);
        edge::replace(&mut pipeline, [EdgeChange { parent: document_id, old: &locked.edges, new }]);
        document::edit(&mut pipeline, vec![document_id], vec![version], vec![content_hash]);
        let uuid = locked.current.uuid;
        let change = self.0.change(document_id, uuid, ChangeKind::Upsert, version);
        millstream_outbox::add(&mut pipeline, [&change]);
        pipeline.commit();
        let result = pipeline.run().await;
        self.finish(transaction, result, Written { outcome: Outcome::Updated, uuid, version }).await
    }

    /// Ends the attempt after the last statements, including `COMMIT`, were sent.
    async fn finish(
        &self,
        transaction: WriteTransaction,
        result: Result<PipelineRows, StoreError>,
        written: Written,
    ) -> Result<Written, AttemptError> {
        match result {
            Ok(_) => {
                transaction.committed();
                Ok(written)
            }
            Err(error) => abandon(transaction, AttemptError::of_write(error, self.0.root_table())).await,
        }
    }
}

/// The answer to a write that changes nothing.
pub(crate) fn unchanged(current: &CurrentRow) -> Written {
    Written { outcome: Outcome::Unchanged, uuid: current.uuid, version: current.effective_version }
}
