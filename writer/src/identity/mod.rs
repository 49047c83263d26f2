//! Identity changes: the closure under exclusive locks, ReferentialIds level by level, and the referrers that embed
//! them.
//!
//! A *closure* is the renamed document with every document whose own identity contains the changed one, transitively.
//! A *referrer* outside the closure only embeds it.
//! docs/design/rules.md#rule-1 orders what happens here: share locks on the renamed
//! document's references, exclusive locks on the closure, the `Document` rows of all that gets a version, then the
//! database-wide rename lock, and only then versions are drawn.

pub(crate) mod closure;
mod equality_check;
mod recompute;
pub(crate) mod referrers;

use crate::attempt::{AttemptError, abandon};
use crate::error::WriteError;
use crate::references::References;
use crate::request::{Outcome, Written};
use crate::resolve::{Binding, CurrentRow, Resolved};
use crate::rows::{BoundDocument, add_replacements, content_hash};
use crate::upsert_request::UpsertRequest;
use closure::{Closure, LockedRound};
use millstream_pipeline::{ChangeKind, NewChange};
use millstream_store::error::StoreError;
use millstream_store::table::document::LockedDocument;
use millstream_store::table::edge::EdgeChange;
use millstream_store::table::{document, edge, identity as identity_table, sequence};
use millstream_store::transaction::{WriteTransaction, lock_renames};
use recompute::Identities;
use referrers::Referrers;
use std::collections::{BTreeMap, BTreeSet};

/// A PUT that changes its document's identity.
pub(crate) struct Rename<'a> {
    pub(crate) request: &'a UpsertRequest<'a>,
    pub(crate) document_id: i64,
}

/// The renamed document as it is under the locks.
struct Seed {
    current: CurrentRow,
    edges: BTreeMap<i64, bool>,
    binding: Binding,
}

/// All documents that get a version, with their rows locked.
struct Affected {
    closure: Closure,
    referrers: Referrers,
    stamped: Vec<LockedDocument>,
}

impl Rename<'_> {
    /// One attempt at the whole rename.
    pub(crate) async fn run(
        &self,
        mut transaction: WriteTransaction,
        first: &Binding,
    ) -> Result<Written, AttemptError> {
        match self.prepare(&mut transaction, first).await {
            Ok((written, pipeline_result)) => match pipeline_result {
                Ok(()) => {
                    transaction.committed();
                    Ok(written)
                }
                Err(error) => {
                    abandon(transaction, self.classify(AttemptError::of_write(error, self.request.root_table()))).await
                }
            },
            Err(error) => abandon(transaction, error).await,
        }
    }

    /// A taken identity is final for a PUT: another attempt would find no other document to update.
    fn classify(&self, error: AttemptError) -> AttemptError {
        match error {
            AttemptError::IdentityTaken => WriteError::IdentityConflict {
                detail: "The new identifying value(s), or those that follow from them for a dependent item, are already taken."
                    .to_owned(),
            }
            .into(),
            other => other,
        }
    }

    async fn prepare(
        &self,
        transaction: &mut WriteTransaction,
        first: &Binding,
    ) -> Result<(Written, Result<(), StoreError>), AttemptError> {
        let (options, changeable) = (self.request.options, first.changeable(self.request.flat));
        let round = closure::lock_round(transaction, options, changeable, vec![self.document_id], None);
        let LockedRound { references: locked, closure: ids } = round.await?;
        let referrers = Referrers::find(transaction, &ids, self.request.options.strict_max).await?;
        let (seed, affected) = self.lock_documents(transaction, &locked, ids, referrers).await?;
        let closure = &affected.closure;
        let identities =
            Identities::recompute(transaction, self.request, closure, self.document_id, &seed.binding).await?;
        equality_check::check(transaction, self.request, self.document_id, closure, &identities).await?;
        self.write(transaction, &seed, &affected, &identities).await
    }

    /// Locks the rows of all documents that get a version; then reads the renamed document again, under all locks.
    async fn lock_documents(
        &self,
        transaction: &WriteTransaction,
        locked: &BTreeSet<i64>,
        ids: BTreeSet<i64>,
        referrers: Referrers,
    ) -> Result<(Seed, Affected), AttemptError> {
        let request = self.request;
        let mut pipeline = transaction.pipeline()?;
        let rows = closure::add_document_locks(&mut pipeline, &ids, referrers.to_stamp());
        let edges = edge::children(&mut pipeline, vec![self.document_id]);
        let resolution = request.add_resolution(&mut pipeline);
        let answers = pipeline.run().await?;
        let (members, stamped) = closure::split_documents(answers.rows(rows)?, &ids);
        let closure = Closure::new(request.mapping, ids, members)?;
        let resolved = Resolved::new(answers.rows(resolution)?)?;
        let Some(current) = request.admit(resolved.current.as_ref())?.cloned() else {
            return Err(WriteError::NotFound.into());
        };
        if current.referential_id == request.flat.referential_id {
            return Err(AttemptError::StartOver("the document was given this identity meanwhile"));
        }
        let binding = resolved.bind(request.flat)?;
        let References { edges, changeable } = References::of(&answers.rows(edges)?);
        if !changeable.iter().chain(&binding.changeable(request.flat)).all(|id| locked.contains(id)) {
            return Err(AttemptError::StartOver("a reference changed while it was being locked"));
        }
        if binding.edges(request.flat).iter().any(|(id, identity)| *identity && closure.contains(*id)) {
            return Err(WriteError::RenameRefused {
                detail: "The new identity would contain a document whose own identity contains this one.".to_owned(),
            }
            .into());
        }
        Ok((Seed { current, edges, binding }, Affected { closure, referrers, stamped }))
    }

    /// Writes. From here on the only wait is for the rename lock: its holder has all the row locks that it needs.
    async fn write(
        &self,
        transaction: &WriteTransaction,
        seed: &Seed,
        Affected { closure, referrers, stamped }: &Affected,
        identities: &Identities,
    ) -> Result<(Written, Result<(), StoreError>), AttemptError> {
        let request = self.request;
        let mut pipeline = transaction.pipeline()?;
        lock_renames(&mut pipeline);
        let draw = sequence::draw_versions(&mut pipeline, closure.len() + stamped.len());
        let answers = pipeline.run().await?;
        let versions: Vec<i64> = answers.rows(draw)?.into_iter().map(|row| row.version).collect();
        let (own_versions, stamps) = versions.split_at(closure.len().min(versions.len()));
        let members = changes(closure.members(), own_versions, ChangeKind::Identity);
        let stamps = changes(stamped, stamps, ChangeKind::Touch);

        let mut pipeline = transaction.pipeline()?;
        let ids = closure.ids();
        identity_table::delete(&mut pipeline, ids.clone());
        identity_table::insert(&mut pipeline, identities.rows(request.mapping, closure)?);
        let document = BoundDocument { document_id: self.document_id, flat: request.flat, binding: &seed.binding };
        add_replacements(&mut pipeline, request.resource, &[document]);
        let new = seed.binding.edges(request.flat);
        edge::replace(&mut pipeline, [EdgeChange { parent: self.document_id, old: &seed.edges, new }]);
        document::rename(&mut pipeline, ids, own_versions.to_vec());
        let hash = content_hash(request.resource, request.flat, &seed.binding);
        document::set_content_hash(&mut pipeline, self.document_id, hash);
        referrers.add(&mut pipeline, &stamps, &members);
        millstream_outbox::add(&mut pipeline, members.iter().chain(&stamps));
        pipeline.commit();
        let result = pipeline.run().await.map(|_| ());
        let own = members.iter().find(|change| change.document_id == self.document_id);
        let version = own.map(|change| change.content_version).unwrap_or_default();
        Ok((Written { outcome: Outcome::Updated, uuid: seed.current.uuid, version }, result))
    }
}

/// The outbox rows of documents and the versions that were drawn for them.
pub(crate) fn changes<'d>(
    documents: impl IntoIterator<Item = &'d LockedDocument>,
    versions: &[i64],
    kind: ChangeKind,
) -> Vec<NewChange> {
    let pairs = documents.into_iter().zip(versions);
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
