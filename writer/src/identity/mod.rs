//! Identity changes: the closure under exclusive locks, ReferentialIds level by level, and the referrers that embed them.
//!
//! A *closure* is the renamed document with every document whose own identity contains the changed one, transitively.
//! A *referrer* outside the closure only embeds it.
//! docs/design/rules.md#rule-1 orders what happens here: share locks on the renamed
//! document's references, exclusive locks on the closure, the `Document` rows of all that gets a version, then the
//! database-wide rename lock, and only then versions are drawn.

mod closure;
mod recompute;
mod referrers;
mod tied;

use crate::attempt::AttemptError;
use crate::error::WriteError;
use crate::locked::{READ_EDGES, abandon, locked_ids, read_edges};
use crate::persist;
use crate::request::{Outcome, Written};
use crate::resolve::{Binding, Own, Resolved, add_resolution};
use crate::rows::{BoundDocument, add_replacements, content_hash};
use crate::transaction::{RENAME_LOCK, Session, TURNSTILE_LOCK, add_share, params};
use crate::upsert::Upsert;
use closure::{Closure, LockedDocument};
use millstream_pipeline::{ChangeKind, NewChange};
use millstream_store::error::StoreError;
use recompute::Identities;
use referrers::Referrers;
use std::collections::{BTreeMap, BTreeSet};

const DRAW_VERSIONS: &str =
    r#"SELECT nextval('"dms"."ChangeVersionSequence"') FROM generate_series(1, $1::int8) AS g ORDER BY g"#;
const UPDATE_CLOSURE: &str = r#"UPDATE "dms"."Document" AS d SET "ContentVersion" = u.v, "IdentityVersion" = u.v, "LastModifiedAt" = greatest(d."LastModifiedAt", clock_timestamp()) FROM unnest($1::int8[], $2::int8[]) AS u(i, v) WHERE d."DocumentId" = u.i"#;
const UPDATE_HASH: &str = r#"UPDATE "dms"."Document" SET "ContentHash" = $2 WHERE "DocumentId" = $1"#;
const DELETE_IDENTITIES: &str = r#"DELETE FROM "dms"."ReferentialIdentity" WHERE "DocumentId" = ANY($1::int8[])"#;

/// A PUT that changes its document's identity.
pub(crate) struct Rename<'a> {
    pub(crate) upsert: &'a Upsert<'a>,
    pub(crate) document_id: i64,
}

/// The renamed document as it is under the locks.
struct Seed {
    own: Own,
    edges: BTreeMap<i64, bool>,
    binding: Binding,
}

/// Everything that gets a version, with its rows locked.
struct Affected {
    closure: Closure,
    referrers: Referrers,
    stamped: Vec<LockedDocument>,
}

impl Rename<'_> {
    /// One attempt at the whole rename.
    pub(crate) async fn run(&self, mut session: Session, first: &Binding) -> Result<Written, AttemptError> {
        match self.prepare(&mut session, first).await {
            Ok((written, pipeline_result)) => match pipeline_result {
                Ok(()) => {
                    session.committed();
                    Ok(written)
                }
                Err(error) => {
                    abandon(session, self.sort(AttemptError::of_write(error, self.upsert.root_table()))).await
                }
            },
            Err(error) => abandon(session, error).await,
        }
    }

    /// A taken identity is final for a PUT: there is nothing that another attempt could update instead.
    fn sort(&self, error: AttemptError) -> AttemptError {
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
        session: &mut Session,
        first: &Binding,
    ) -> Result<(Written, Result<(), StoreError>), AttemptError> {
        let (locked, ids) = self.lock_identities(session, first).await?;
        let referrers = Referrers::find(session, &ids, self.upsert.options.strict_max).await?;
        let (seed, affected) = self.lock_documents(session, &locked, ids, referrers).await?;
        let closure = &affected.closure;
        let identities = Identities::recompute(session, self.upsert, closure, self.document_id, &seed.binding).await?;
        tied::check(session, self.upsert, self.document_id, closure, &identities).await?;
        self.write(session, &seed, &affected, &identities).await
    }

    /// The turnstile, share locks on the renamed document's references, exclusive ones on its closure: returns the ids of
    /// the references, and of the closure. Nobody has to wait at the turnstile for the `Document` rows as well: those
    /// have no sharers that could overlap.
    async fn lock_identities(
        &self,
        session: &mut Session,
        first: &Binding,
    ) -> Result<(BTreeSet<i64>, BTreeSet<i64>), AttemptError> {
        let mut pipeline = session.begin()?;
        pipeline.add("SELECT pg_advisory_lock($1)", params![TURNSTILE_LOCK]);
        let share = add_share(&mut pipeline, first.changeable(self.upsert.flat), vec![self.document_id]);
        let answers = pipeline.run().await?;
        let locked = locked_ids(Some(&answers[share]))?;
        let ids = closure::lock_identities(session, self.upsert.options, self.document_id).await?;
        let mut pipeline = session.pipeline()?;
        pipeline.add("SELECT pg_advisory_unlock($1)", params![TURNSTILE_LOCK]);
        pipeline.run().await?;
        Ok((locked, ids))
    }

    /// The rows of all that gets a version; then what the renamed document is now, under all locks.
    async fn lock_documents(
        &self,
        session: &Session,
        locked: &BTreeSet<i64>,
        ids: BTreeSet<i64>,
        referrers: Referrers,
    ) -> Result<(Seed, Affected), AttemptError> {
        let upsert = self.upsert;
        let mut pipeline = session.pipeline()?;
        let rows = closure::add_document_locks(&mut pipeline, &ids, referrers.to_stamp());
        let edges = pipeline.add(READ_EDGES, params![self.document_id]);
        let resolution = add_resolution(&mut pipeline, &upsert.flat.targets, upsert.subject());
        let answers = pipeline.run().await?;
        let (members, stamped) = closure::read_documents(&answers[rows], &ids)?;
        let closure = Closure::new(upsert.mapping, ids, members)?;
        let resolved = Resolved::read(&answers[resolution])?;
        let Some(own) = upsert.admit(resolved.own.as_ref())?.cloned() else {
            return Err(WriteError::NotFound.into());
        };
        if own.referential_id == upsert.flat.referential_id {
            return Err(AttemptError::StartOver("the document was given this identity meanwhile"));
        }
        let binding = resolved.bind(upsert.flat)?;
        let (edges, changeable) = read_edges(&answers[edges])?;
        if !changeable.iter().chain(&binding.changeable(upsert.flat)).all(|id| locked.contains(id)) {
            return Err(AttemptError::StartOver("a reference changed while it was being locked"));
        }
        if binding.edges(upsert.flat).iter().any(|(id, identity)| *identity && closure.contains(*id)) {
            return Err(WriteError::RenameRefused {
                detail: "The new identity would contain a document whose own identity contains this one.".to_owned(),
            }
            .into());
        }
        Ok((Seed { own, edges, binding }, Affected { closure, referrers, stamped }))
    }

    /// From here on nothing is waited for but the rename lock: whoever holds it has all the rows that it needs.
    async fn write(
        &self,
        session: &Session,
        seed: &Seed,
        Affected { closure, referrers, stamped }: &Affected,
        identities: &Identities,
    ) -> Result<(Written, Result<(), StoreError>), AttemptError> {
        let upsert = self.upsert;
        let mut pipeline = session.pipeline()?;
        pipeline.add("SELECT pg_advisory_xact_lock($1)", params![RENAME_LOCK]);
        let draw = pipeline.add(DRAW_VERSIONS, params![(closure.len() + stamped.len()) as i64]);
        let answers = pipeline.run().await?;
        let versions: Vec<i64> = answers[draw].iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let (own_versions, stamps) = versions.split_at(closure.len().min(versions.len()));
        let members = changes(closure.members(), own_versions, ChangeKind::Identity);
        let stamps = changes(stamped, stamps, ChangeKind::Touch);

        let mut pipeline = session.pipeline()?;
        let ids = closure.ids();
        pipeline.add(DELETE_IDENTITIES, params![ids.clone()]);
        persist::add_identities(&mut pipeline, identities.rows(upsert.mapping, closure)?);
        let document = BoundDocument { document_id: self.document_id, flat: upsert.flat, binding: &seed.binding };
        add_replacements(&mut pipeline, upsert.resource, &[document]);
        persist::add_edge_difference(&mut pipeline, self.document_id, &seed.edges, &seed.binding.edges(upsert.flat));
        pipeline.add(UPDATE_CLOSURE, params![ids, own_versions.to_vec()]);
        let hash = content_hash(upsert.resource, upsert.flat, &seed.binding);
        pipeline.add(UPDATE_HASH, params![self.document_id, hash]);
        referrers.add(&mut pipeline, &stamps, &members);
        let all: Vec<NewChange> = members.iter().chain(&stamps).cloned().collect();
        persist::add_outbox(&mut pipeline, &all);
        pipeline.add("COMMIT", Vec::new());
        let result = pipeline.run().await.map(|_| ());
        let own = members.iter().find(|change| change.document_id == self.document_id);
        let version = own.map(|change| change.content_version).unwrap_or_default();
        Ok((Written { outcome: Outcome::Updated, uuid: seed.own.uuid, version }, result))
    }
}

/// The outbox rows of documents and the versions that were drawn for them.
fn changes<'d>(
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
