//! Stored edges against the reference columns (EDGES), and the types that references may point to.

use super::range::{Range, type_name};
use super::report::{DifferenceKind, Report};
use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::table::edge;
use millstream_schema::plan::{Mapping, ReferenceSite, ResourceKeyId};
use std::collections::BTreeMap;

/// (parent, child)
type Edge = (i64, i64);

/// Compares `dms.ReferenceEdge` with the distinct document columns of all rows, both ways, flags included; and checks
/// that references and descriptors point to documents of the right type.
pub(super) async fn check<C: GenericClient>(
    client: &C,
    range: &Range<'_>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut stored: BTreeMap<Edge, bool> = BTreeMap::new();
    let mut types: BTreeMap<i64, Option<ResourceKeyId>> = BTreeMap::new();
    for row in edge::rows(client, &range.ids).await? {
        stored.insert((row.parent, row.child), row.is_identity_component);
        types.insert(row.child, row.child_key);
    }
    let mut expected: BTreeMap<Edge, bool> = BTreeMap::new();
    for_each_reference(range, |site, edge| {
        *expected.entry(edge).or_insert(false) |= site.is_identity_component;
        if let Some(found) = types.get(&edge.1)
            && !found.is_some_and(|key| may_refer_to(range.mapping, site, key))
        {
            let found = found.map_or("no document".to_owned(), |key| type_name(range.mapping, key));
            let found = format!("{} points to document {}, {found}", site.path, edge.1);
            range.differs(report, DifferenceKind::ReferenceType, edge.0, site.target_resource.clone(), found);
        }
    });
    for (edge, flag) in &expected {
        let (kind, found) = match stored.remove(edge) {
            Some(found) if found == *flag => continue,
            Some(found) => (DifferenceKind::EdgeFlag, describe(*edge, found)),
            None => (DifferenceKind::EdgeMissing, "no edge".to_owned()),
        };
        range.differs(report, kind, edge.0, describe(*edge, *flag), found);
    }
    for (edge, flag) in stored {
        range.differs(report, DifferenceKind::EdgeUnexpected, edge.0, "no edge".to_owned(), describe(edge, flag));
    }
    check_descriptors(range, report);
    Ok(())
}

fn for_each_reference(range: &Range<'_>, mut visit: impl FnMut(&ReferenceSite, Edge)) {
    for (ix, rows) in &range.batch.types {
        for site in &range.mapping.resource(*ix).references {
            let Some(table) = rows.tables.get(site.table) else { continue };
            for at in 0..table.len() {
                if let (Some(parent), Some(child)) = (table.document_id(at), table.id(at, site.column)) {
                    visit(site, (parent, child));
                }
            }
        }
    }
}

fn may_refer_to(mapping: &Mapping, site: &ReferenceSite, key: ResourceKeyId) -> bool {
    match mapping.abstract_by_key(site.target_key) {
        Some(target) => mapping.by_key(key).is_some_and(|ix| target.subtypes.contains(&ix)),
        None => key == site.target_key,
    }
}

fn check_descriptors(range: &Range<'_>, report: &mut Report) {
    for (ix, rows) in &range.batch.types {
        for site in &range.mapping.resource(*ix).descriptors {
            let Some(table) = rows.tables.get(site.table) else { continue };
            for at in 0..table.len() {
                let (Some(id), Some(target)) = (table.document_id(at), table.id(at, site.column)) else { continue };
                let found = range.descriptors.get(&target).map(|descriptor| descriptor.key);
                if found != Some(site.target_key) {
                    let found = found.map_or("no descriptor".to_owned(), |key| type_name(range.mapping, key));
                    let found = format!("{} points to {target}, {found}", site.path);
                    range.differs(report, DifferenceKind::DescriptorType, id, site.target_resource.clone(), found);
                }
            }
        }
    }
}

fn describe((parent, child): Edge, flag: bool) -> String {
    format!("{parent} → {child}{}", if flag { ", identity component" } else { "" })
}
