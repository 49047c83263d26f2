//! Phase 2 of a batch, second step: the rows of all documents, one statement per table, and the commit.

use super::locked::{Locked, LockedEdit, LockedInsert};
use super::prepared::Insert;
use crate::request::{Outcome, Written};
use crate::rows::{BoundDocument, add_children, add_replacements, add_root_updates, add_roots};
use crate::upsert_request::UpsertRequest;
use millstream_pipeline::{ChangeKind, NewChange};
use millstream_schema::plan::{ResourceKeyId, ResourcePlan};
use millstream_store::table::edge::{self, EdgeChange};
use millstream_store::table::{document, identity_lock};
use millstream_store::transaction::Pipeline;
use std::collections::{BTreeMap, BTreeSet};

/// Adds everything that the transaction writes besides what the first step wrote. Tables come in one order: root rows by
/// level, then the tables below, both by type; then edits by type; then the shared tables, the outbox last.
pub(super) fn add_rows(pipeline: &mut Pipeline<'_>, requests: &[UpsertRequest<'_>], locked: &Locked<'_>) {
    add_new(pipeline, requests, &locked.inserts);
    add_edited(pipeline, requests, &locked.edits);
    add_edges(pipeline, requests, locked);
    if !locked.edits.is_empty() {
        document::edit(
            pipeline,
            locked.edits.iter().map(|edit| edit.current.document_id).collect(),
            locked.edits.iter().map(|edit| edit.version).collect(),
            locked.edits.iter().map(|edit| edit.content_hash.clone()).collect(),
        );
    }
    let ids = locked.inserts.iter().map(|new| new.insert.document_id);
    let ids = ids.chain(locked.edits.iter().map(|edit| edit.current.document_id));
    let mut changes: Vec<NewChange> = ids
        .zip(written(locked))
        .map(|(id, (at, written))| requests[at].change(id, written.uuid, ChangeKind::Upsert, written.version))
        .collect();
    changes.sort_by_key(|change| change.content_version);
    millstream_outbox::add(pipeline, &changes);
}

fn add_new(pipeline: &mut Pipeline<'_>, requests: &[UpsertRequest<'_>], inserts: &[LockedInsert<'_>]) {
    let mut by_level: BTreeMap<(usize, ResourceKeyId), Vec<&Insert>> = BTreeMap::new();
    let mut by_type: BTreeMap<ResourceKeyId, Vec<&Insert>> = BTreeMap::new();
    let mut lockable = Vec::new();
    for LockedInsert { insert, .. } in inserts {
        let resource = requests[insert.at].resource;
        by_level.entry((insert.level, resource.key)).or_default().push(insert);
        by_type.entry(resource.key).or_default().push(insert);
        if resource.changeable {
            lockable.push(insert.document_id);
        }
    }
    for group in by_level.values() {
        let (resource, documents) = bound(requests, group);
        let postponed: Vec<&BTreeSet<usize>> = group.iter().map(|insert| &insert.postponed).collect();
        add_roots(pipeline, resource, &documents, &postponed);
    }
    for group in by_type.values() {
        let circular: Vec<&Insert> = group.iter().copied().filter(|insert| !insert.postponed.is_empty()).collect();
        if !circular.is_empty() {
            let (resource, documents) = bound(requests, &circular);
            add_root_updates(pipeline, resource, &documents);
        }
    }
    for group in by_type.values() {
        let (resource, documents) = bound(requests, group);
        add_children(pipeline, resource, &documents);
    }
    if !lockable.is_empty() {
        identity_lock::insert(pipeline, lockable);
    }
}

/// The documents of one type, and the type; the group is not empty.
fn bound<'r>(requests: &[UpsertRequest<'r>], group: &[&'r Insert]) -> (&'r ResourcePlan, Vec<BoundDocument<'r>>) {
    let resource = requests[group[0].at].resource;
    let document = |insert: &&'r Insert| BoundDocument {
        document_id: insert.document_id,
        flat: requests[insert.at].flat,
        binding: &insert.binding,
    };
    (resource, group.iter().map(document).collect())
}

fn add_edited(pipeline: &mut Pipeline<'_>, requests: &[UpsertRequest<'_>], edits: &[LockedEdit]) {
    let mut by_type: BTreeMap<ResourceKeyId, (&ResourcePlan, Vec<BoundDocument<'_>>)> = BTreeMap::new();
    for edit in edits {
        let UpsertRequest { resource, flat, .. } = requests[edit.at];
        let document = BoundDocument { document_id: edit.current.document_id, flat, binding: &edit.binding };
        by_type.entry(resource.key).or_insert_with(|| (resource, Vec::new())).1.push(document);
    }
    for (resource, documents) in by_type.values() {
        add_replacements(pipeline, resource, documents);
    }
}

fn add_edges(pipeline: &mut Pipeline<'_>, requests: &[UpsertRequest<'_>], locked: &Locked<'_>) {
    let none = BTreeMap::new();
    let new = locked.inserts.iter().map(|LockedInsert { insert, .. }| EdgeChange {
        parent: insert.document_id,
        old: &none,
        new: insert.binding.edges(requests[insert.at].flat),
    });
    let edited = locked.edits.iter().map(|edit| EdgeChange {
        parent: edit.current.document_id,
        old: &edit.edges,
        new: edit.binding.edges(requests[edit.at].flat),
    });
    edge::replace(pipeline, new.chain(edited));
}

/// Positions and answers of all documents that the transaction writes: the new ones first.
pub(super) fn written(locked: &Locked<'_>) -> impl Iterator<Item = (usize, Written)> {
    let new = locked.inserts.iter().map(|LockedInsert { insert, version }| {
        (insert.at, Written { outcome: Outcome::Created, uuid: insert.uuid, version: *version })
    });
    let edited = locked
        .edits
        .iter()
        .map(|edit| (edit.at, Written { outcome: Outcome::Updated, uuid: edit.current.uuid, version: edit.version }));
    new.chain(edited)
}
