//! Phase 1 of a batch: what each write comes to, as one snapshot shows it.

use super::graph::{Need, Place, order};
use super::prepared::{BatchResolution, Edit, Insert, as_target};
use super::verdict::{Verdict, Verdicts};
use crate::body::{Cell, Target};
use crate::error::WriteError;
use crate::identity_rows::identity_rows;
use crate::resolve::{Binding, ResolvedTarget, bind};
use crate::rows::content_hash;
use crate::upsert::unchanged;
use crate::upsert_request::UpsertRequest;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

/// The documents of a batch that have to be written.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// New documents, by level.
    pub(super) inserts: Vec<Insert>,
    /// Documents that change.
    pub(super) edits: Vec<Edit>,
}

impl Plan {
    /// ReferentialIds of the documents that need locks which other transactions may hold for long.
    pub(super) fn waits_for_locks(&self, requests: &[UpsertRequest<'_>]) -> HashSet<Uuid> {
        let inserts = self.inserts.iter().map(|insert| insert.at).filter(|at| requests[*at].shares_locks());
        inserts.chain(self.edits.iter().map(|edit| edit.at)).map(|at| requests[at].flat.referential_id).collect()
    }
}

/// Writes that have to go on, by position.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    inserts: Vec<usize>,
    edits: Vec<(usize, i64)>,
}

impl Candidates {
    /// Decides what needs no transaction: refusals, unchanged documents, and what goes elsewhere.
    pub(super) fn of(requests: &[UpsertRequest<'_>], resolution: &BatchResolution, verdicts: &mut Verdicts) -> Self {
        let mut candidates = Self::default();
        let mut edited = HashSet::new();
        for (at, request) in requests.iter().enumerate() {
            let current = match request.admit(resolution.current(request)) {
                Ok(Some(current)) => current,
                Ok(None) => {
                    candidates.inserts.push(at);
                    continue;
                }
                Err(error) => {
                    verdicts.refuse(at, error);
                    continue;
                }
            };
            if current.referential_id != request.flat.referential_id {
                // A rename of a document that an earlier write of the batch changes comes after it.
                let formerly = Some(current.referential_id);
                let verdict = match edited.insert(current.document_id) {
                    true => Verdict::Single { reason: "rename", formerly },
                    false => Verdict::Later,
                };
                verdicts.set(at, verdict);
                continue;
            }
            let binding = bind(request.flat, |target| resolution.target(target));
            let is_unchanged = binding
                .is_ok_and(|binding| content_hash(request.resource, request.flat, &binding) == current.content_hash);
            if is_unchanged {
                verdicts.set(at, Verdict::Answer(Ok(unchanged(current))));
            } else if edited.insert(current.document_id) {
                candidates.edits.push((at, current.document_id));
            } else {
                verdicts.set(at, Verdict::Later);
            }
        }
        candidates
    }

    /// The number of documents that may be inserted.
    pub(super) fn inserts(&self) -> usize {
        self.inserts.len()
    }
}

/// Binds all candidates, to documents that exist and to new ones of the batch. `ids` has an id for each new document.
pub(super) fn plan(
    requests: &[UpsertRequest<'_>],
    resolution: &BatchResolution,
    candidates: Candidates,
    ids: &[i64],
    verdicts: &mut Verdicts,
) -> Plan {
    let mut planner = Planner { requests, resolution, verdicts, new: NewDocuments::default() };
    planner.offer(&candidates.inserts, ids);
    planner.refuse_unresolved(&candidates.inserts);
    let inserts = planner.inserts();
    let edits = candidates.edits.into_iter().filter_map(|(at, document_id)| planner.edit(at, document_id)).collect();
    Plan { inserts, edits }
}

/// New documents of the batch, as others can refer to them.
#[derive(Debug, Default)]
struct NewDocuments {
    /// ReferentialId → position, for every type under which the document can be referred to.
    by_identity: HashMap<Uuid, usize>,
    /// Position → DocumentId.
    ids: HashMap<usize, i64>,
    /// Position → the document as a target.
    targets: HashMap<usize, Arc<ResolvedTarget>>,
}

impl NewDocuments {
    /// The new document that a reference leads to.
    fn provider(&self, target: &Target) -> Option<usize> {
        let at = *self.by_identity.get(&target.referential_id)?;
        target.is_named_by(&self.targets.get(&at)?.identity_values).then_some(at)
    }
}

struct Planner<'b, 'r> {
    requests: &'b [UpsertRequest<'r>],
    resolution: &'b BatchResolution,
    verdicts: &'b mut Verdicts,
    new: NewDocuments,
}

impl Planner<'_, '_> {
    /// Makes all candidates known to each other. Their ReferentialIds follow from their bodies alone.
    fn offer(&mut self, candidates: &[usize], ids: &[i64]) {
        for (at, id) in candidates.iter().zip(ids) {
            let UpsertRequest { resource, flat, .. } = self.requests[*at];
            for row in identity_rows(resource, *id, &flat.identity_values) {
                self.new.by_identity.entry(row.referential_id).or_insert(*at);
            }
            self.new.ids.insert(*at, *id);
            self.new.targets.insert(*at, as_target(resource, flat, *id, flat.identity_values.clone()));
        }
    }

    /// Removes the candidates with references that lead nowhere, until none is left: each may take others with it.
    fn refuse_unresolved(&mut self, candidates: &[usize]) {
        loop {
            let open: Vec<usize> = candidates.iter().copied().filter(|at| self.new.targets.contains_key(at)).collect();
            let refused: Vec<(usize, WriteError)> =
                open.into_iter().filter_map(|at| self.bind(at).err().map(|error| (at, error))).collect();
            if refused.is_empty() {
                return;
            }
            for (at, error) in refused {
                self.new.targets.remove(&at);
                self.verdicts.refuse(at, error);
            }
        }
    }

    /// Binds a document to existing documents and to new ones, itself excepted.
    fn bind(&self, at: usize) -> Result<Binding, WriteError> {
        bind(self.requests[at].flat, |target| {
            self.resolution.target(target).or_else(|| {
                let provider = self.new.provider(target).filter(|provider| *provider != at)?;
                self.new.targets.get(&provider)
            })
        })
    }

    /// The new documents that a document refers to.
    fn needs(&self, at: usize) -> Vec<Need> {
        let UpsertRequest { resource, flat, .. } = self.requests[at];
        let open = flat.targets.iter().enumerate().filter(|(_, target)| self.resolution.target(target).is_none());
        let need = |(target, named): (usize, &Target)| {
            let provider = self.new.provider(named)?;
            let row = flat.tables[0].first();
            let columns = row.into_iter().flat_map(|row| row.cells.iter().zip(&resource.tables[0].columns));
            let place = columns
                .filter(|(cell, _)| **cell == Cell::Target(target))
                .map(|(_, column)| if column.required { Place::Required } else { Place::Optional })
                .reduce(|one, other| if one == Place::Required { one } else { other })
                .unwrap_or(Place::Below);
            Some(Need { provider, target, place })
        };
        open.filter_map(need).collect()
    }

    /// The inserts by level. Every document is bound after those that it refers to, whose stored identity values it
    /// repeats; those of a document in a later level are no part of its identity.
    fn inserts(&mut self) -> Vec<Insert> {
        let mut open: Vec<usize> = self.new.targets.keys().copied().collect();
        open.sort_unstable();
        let documents: Vec<(usize, Vec<Need>)> = open.into_iter().map(|at| (at, self.needs(at))).collect();
        let providers: HashMap<usize, Vec<usize>> =
            documents.iter().map(|(at, needs)| (*at, needs.iter().map(|need| need.provider).collect())).collect();
        let ordered = order(&documents);
        let mut postponed: HashMap<usize, BTreeSet<usize>> = HashMap::new();
        for (at, target) in ordered.postponed {
            postponed.entry(at).or_default().insert(target);
        }
        // Alone they are refused by name.
        for at in ordered.stuck {
            self.verdicts.set(at, Verdict::single("circle"));
        }
        let levels = ordered.levels.into_iter().enumerate();
        let flat = levels.flat_map(|(level, positions)| positions.into_iter().map(move |at| (level, at)));
        let mut inserts = Vec::with_capacity(documents.len());
        for (level, at) in flat {
            let postponed = postponed.remove(&at).unwrap_or_default();
            match self.insert(at, level) {
                Ok(insert) => {
                    let providers = providers.get(&at).cloned().unwrap_or_default();
                    inserts.push(Insert { postponed, providers, ..insert });
                }
                Err(error) => self.verdicts.refuse(at, error),
            }
        }
        inserts
    }

    fn insert(&mut self, at: usize, level: usize) -> Result<Insert, WriteError> {
        let UpsertRequest { resource, flat, .. } = self.requests[at];
        let binding = self.bind(at)?;
        let document_id = self.new.ids[&at];
        let values = binding.identity_values(resource, flat)?;
        let identities = identity_rows(resource, document_id, &values);
        let content_hash = content_hash(resource, flat, &binding);
        self.new.targets.insert(at, as_target(resource, flat, document_id, values));
        let (postponed, providers) = (BTreeSet::new(), Vec::new());
        let uuid = Uuid::now_v7();
        Ok(Insert { at, document_id, uuid, level, binding, content_hash, identities, postponed, providers })
    }

    fn edit(&mut self, at: usize, document_id: i64) -> Option<Edit> {
        match self.bind(at) {
            Ok(binding) => {
                let providers = self.needs(at).into_iter().map(|need| need.provider).collect();
                Some(Edit { at, document_id, binding, providers })
            }
            Err(error) => {
                self.verdicts.refuse(at, error);
                None
            }
        }
    }
}
