//! Phase 2 of a batch, first step: locks, the same checks again under the locks, ids and versions.

use super::plan::Plan;
use super::prepared::{BatchResolution, Edit, Insert};
use super::verdict::{Verdict, Verdicts};
use crate::attempt::AttemptError;
use crate::body::Target;
use crate::references::{References, locked_ids};
use crate::resolve::{Binding, CurrentRow, bind};
use crate::rows::content_hash;
use crate::upsert::unchanged;
use crate::upsert_request::{LockedCurrent, UpsertRequest};
use millstream_store::error::StoreError;
use millstream_store::retry::Retryable;
use millstream_store::table::document::{self, InsertedDocument, LockedDocument, NewDocument};
use millstream_store::table::edge::{self, ChildEdge};
use millstream_store::table::identity_lock::LockedIdentity;
use millstream_store::table::resolution::{ResolutionRow, resolve};
use millstream_store::table::sequence::{self, DrawnVersion};
use millstream_store::transaction::{Pipeline, PipelineRows, StatementRef, share_locks};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The statements of the step.
pub(super) struct Added {
    locks: Option<StatementRef<LockedIdentity>>,
    edits: Option<EditStatements>,
    resolution: Option<StatementRef<ResolutionRow>>,
    inserted: Option<StatementRef<InsertedDocument>>,
}

struct EditStatements {
    rows: StatementRef<LockedDocument>,
    edges: StatementRef<ChildEdge>,
    versions: StatementRef<DrawnVersion>,
}

/// Adds, in the order of every writer: identity locks, row locks, the second resolution, and only then the statements
/// that draw versions (docs/design/rules.md#rule-1).
///
/// The second resolution leaves out new documents without changeable references: whether those still exist is decided by
/// foreign keys, and whether their own identity is free by the insert.
pub(super) fn add_locks(pipeline: &mut Pipeline<'_>, requests: &[UpsertRequest<'_>], plan: &Plan) -> Added {
    let new: HashSet<i64> = plan.inserts.iter().map(|insert| insert.document_id).collect();
    let of_inserts = plan.inserts.iter().map(|insert| (insert.at, &insert.binding));
    let of_edits = plan.edits.iter().map(|edit| (edit.at, &edit.binding));
    let shared: BTreeSet<i64> =
        of_inserts.chain(of_edits).flat_map(|(at, binding)| changeable(requests, at, binding, &new)).collect();
    let ids: Vec<i64> = plan.edits.iter().map(|edit| edit.document_id).collect();
    let needs_locks = !shared.is_empty() || plan.edits.iter().any(|edit| requests[edit.at].shares_locks());
    let locks = needs_locks.then(|| share_locks(pipeline, shared.into_iter().collect(), ids.clone(), false));
    let edited = (!ids.is_empty()).then(|| {
        let rows = document::lock_for_edit(pipeline, ids.clone());
        (rows, edge::children(pipeline, ids))
    });
    let again: Vec<&UpsertRequest<'_>> = plan
        .inserts
        .iter()
        .filter(|insert| !changeable(requests, insert.at, &insert.binding, &new).is_empty())
        .map(|insert| insert.at)
        .chain(plan.edits.iter().map(|edit| edit.at))
        .map(|at| &requests[at])
        .collect();
    let resolution = (!again.is_empty()).then(|| {
        let targets = again.iter().flat_map(|request| &request.flat.targets).map(|target| target.referential_id);
        resolve(pipeline, targets, again.iter().map(|request| request.subject()))
    });
    let edits = edited.map(|(rows, edges)| {
        let versions = sequence::draw_versions(pipeline, plan.edits.len());
        EditStatements { rows, edges, versions }
    });
    let inserted = (!plan.inserts.is_empty()).then(|| {
        let identities = plan.inserts.iter().flat_map(|insert| insert.identities.clone()).collect();
        document::insert_free(
            pipeline,
            identities,
            plan.inserts.iter().map(|insert| new_document(requests, insert)).collect(),
        )
    });
    Added { locks, edits, resolution, inserted }
}

fn new_document(requests: &[UpsertRequest<'_>], insert: &Insert) -> NewDocument {
    NewDocument {
        document_id: insert.document_id,
        uuid: insert.uuid,
        key: requests[insert.at].resource.key,
        version: 0,
        content_hash: insert.content_hash.clone(),
    }
}

/// Referenced documents whose identity another transaction could change: not those that this one creates.
fn changeable(requests: &[UpsertRequest<'_>], at: usize, binding: &Binding, new: &HashSet<i64>) -> Vec<i64> {
    let mut ids = binding.changeable(requests[at].flat);
    ids.retain(|id| !new.contains(id));
    ids
}

/// A new document that has its identity and its version.
#[derive(Debug)]
pub(super) struct LockedInsert<'p> {
    pub(super) insert: &'p Insert,
    pub(super) version: i64,
}

/// A document that is changed under its row lock.
#[derive(Debug)]
pub(super) struct LockedEdit {
    pub(super) at: usize,
    pub(super) current: CurrentRow,
    pub(super) edges: BTreeMap<i64, bool>,
    pub(super) binding: Binding,
    pub(super) content_hash: Vec<u8>,
    pub(super) version: i64,
}

/// The documents that the transaction writes.
#[derive(Debug, Default)]
pub(super) struct Locked<'p> {
    pub(super) inserts: Vec<LockedInsert<'p>>,
    pub(super) edits: Vec<LockedEdit>,
    /// Positions of `inserts`.
    written: HashSet<usize>,
    /// Whether a document was inserted that must not stay: the transaction has to be rolled back.
    pub(super) inserted_lost: bool,
}

impl<'p> Locked<'p> {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.inserts.is_empty() && self.edits.is_empty()
    }

    /// Reads the answers, and repeats the checks of phase 1 on them. Documents that lost a race, and those that refer to
    /// them, get their verdict.
    pub(super) fn read(
        answers: &PipelineRows,
        added: Added,
        requests: &[UpsertRequest<'_>],
        plan: &'p Plan,
        verdicts: &mut Verdicts,
    ) -> Result<Self, StoreError> {
        let resolution = match added.resolution {
            Some(resolution) => BatchResolution::new(answers.rows(resolution)?)?,
            None => BatchResolution::default(),
        };
        let new = plan.inserts.iter().map(|insert| insert.document_id).collect();
        let recheck = Recheck { requests, resolution, locked: locked_ids(answers, added.locks)?, plan, new };
        let mut locked = Self::default();
        let inserted = added.inserted.map(|inserted| answers.rows(inserted)).transpose()?.unwrap_or_default();
        locked.read_inserts(&recheck, &inserted, verdicts);
        if let Some(edits) = added.edits {
            let rows: BTreeSet<i64> = answers.rows(edits.rows)?.into_iter().map(|row| row.document_id).collect();
            let mut edges: HashMap<i64, Vec<ChildEdge>> = HashMap::new();
            for edge in answers.rows(edits.edges)? {
                edges.entry(edge.parent).or_default().push(edge);
            }
            let versions: Vec<DrawnVersion> = answers.rows(edits.versions)?;
            for (edit, version) in plan.edits.iter().zip(versions) {
                let edges =
                    rows.contains(&edit.document_id).then(|| edges.remove(&edit.document_id).unwrap_or_default());
                locked.read_edit(&recheck, edit, edges, version.version, verdicts);
            }
        }
        Ok(locked)
    }

    fn read_inserts(&mut self, recheck: &Recheck<'_, 'p>, inserted: &[InsertedDocument], verdicts: &mut Verdicts) {
        let inserted: HashMap<i64, &InsertedDocument> = inserted.iter().map(|row| (row.document_id, row)).collect();
        let mut lost: HashSet<usize> = HashSet::new();
        for insert in &recheck.plan.inserts {
            let row = inserted.get(&insert.document_id);
            let is_whole = row.is_some_and(|row| row.identities == insert.identities.len() as i64);
            if !is_whole {
                lost.insert(insert.at);
                verdicts.set(insert.at, Verdict::single("identity taken"));
            } else if !recheck.insert(insert) {
                lost.insert(insert.at);
                verdicts.set(insert.at, Verdict::single("reference changed"));
            }
        }
        for at in recheck.lose_referrers(&mut lost) {
            verdicts.set(at, Verdict::single("reference lost"));
        }
        for insert in &recheck.plan.inserts {
            match inserted.get(&insert.document_id) {
                Some(row) if !lost.contains(&insert.at) => {
                    self.written.insert(insert.at);
                    self.inserts.push(LockedInsert { insert, version: row.version });
                }
                Some(_) => self.inserted_lost = true,
                None => {}
            }
        }
    }

    /// `edges`: None if the document is gone.
    fn read_edit(
        &mut self,
        recheck: &Recheck<'_, 'p>,
        edit: &Edit,
        edges: Option<Vec<ChildEdge>>,
        version: i64,
        verdicts: &mut Verdicts,
    ) {
        if !edit.providers.iter().all(|provider| self.written.contains(provider)) {
            return verdicts.set(edit.at, Verdict::single("reference lost"));
        }
        match recheck.edit(edit, edges.map(|edges| References::of(&edges))) {
            Err(AttemptError::Refused(error)) => verdicts.refuse(edit.at, error),
            Err(error) => verdicts.set(edit.at, Verdict::single(error.retry_reason().unwrap_or("failed"))),
            Ok(LockedCurrent { current, edges, binding }) => {
                let request = &recheck.requests[edit.at];
                let content_hash = content_hash(request.resource, request.flat, &binding);
                if content_hash == current.content_hash {
                    return verdicts.set(edit.at, Verdict::Answer(Ok(unchanged(&current))));
                }
                self.edits.push(LockedEdit { at: edit.at, current, edges, binding, content_hash, version });
            }
        }
    }
}

/// The state as it was read under the locks.
struct Recheck<'r, 'p> {
    requests: &'r [UpsertRequest<'r>],
    resolution: BatchResolution,
    locked: BTreeSet<i64>,
    plan: &'p Plan,
    /// DocumentIds of the new documents.
    new: HashSet<i64>,
}

impl Recheck<'_, '_> {
    fn is_new(&self, id: i64) -> bool {
        self.new.contains(&id)
    }

    /// Adds to the lost documents all that refer to one of them; returns those.
    fn lose_referrers(&self, lost: &mut HashSet<usize>) -> Vec<usize> {
        let planned: HashSet<usize> = self.plan.inserts.iter().map(|insert| insert.at).collect();
        let mut referrers: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut gone: Vec<usize> = lost.iter().copied().collect();
        for insert in &self.plan.inserts {
            for provider in &insert.providers {
                referrers.entry(*provider).or_default().push(insert.at);
                // Phase 1 left it to the single path.
                if !planned.contains(provider) {
                    gone.push(*provider);
                }
            }
        }
        let mut followed = Vec::new();
        while let Some(provider) = gone.pop() {
            for referrer in referrers.remove(&provider).unwrap_or_default() {
                if lost.insert(referrer) {
                    followed.push(referrer);
                    gone.push(referrer);
                }
            }
        }
        followed
    }

    /// Whether the changeable documents that a new one refers to are locked, and still the same.
    fn insert(&self, insert: &Insert) -> bool {
        let flat = self.requests[insert.at].flat;
        flat.targets.iter().enumerate().filter(|(_, target)| target.is_changeable).all(|(at, target)| {
            let id = insert.binding.document_id(at);
            let still = self.resolution.target(target).is_some_and(|found| found.document_id == id);
            self.is_new(id) || (still && self.locked.contains(&id))
        })
    }

    /// The document as it is now, with its stored references (`None` if it is gone).
    fn edit(&self, edit: &Edit, stored: Option<References>) -> Result<LockedCurrent, AttemptError> {
        let request = &self.requests[edit.at];
        // New documents of the batch are found where phase 1 found them: no other session sees them yet.
        let of_batch = edit.binding.targets(request.flat).filter(|(_, found)| self.is_new(found.document_id));
        let of_batch: HashMap<_, _> = of_batch.map(|(target, found)| (target.referential_id, found)).collect();
        let find = |target: &Target| self.resolution.target(target).or(of_batch.get(&target.referential_id).copied());
        let is_locked = |id: &i64| self.locked.contains(id) || self.is_new(*id);
        let current = self.resolution.current(request);
        request.recheck_edit(edit.document_id, stored, current, || bind(request.flat, find), is_locked)
    }
}
