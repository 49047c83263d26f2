//! Constrain pass: adds natural keys, array uniqueness, foreign keys, and the indexes that those do not give.

use super::merge::MergedResource;
use super::types::{Column, ForeignKey, Index, ResourceModel, Table, Unique};
use crate::apischema::path as paths;
use crate::mapping::{ColumnType, IdentitySource, TableRole};
use std::collections::BTreeMap;

/// Maximum size of a b-tree key, at four bytes per character. A b-tree entry holds 2,704 bytes
/// (docs/design/rules.md#rule-21).
const BTREE_KEY_BYTES_MAX: u32 = 2_600;

/// SQL schema and name of a table.
type TableName = (String, String);

/// Adds all constraints and indexes.
pub(crate) fn constrain(merged: &[MergedResource<'_>], resources: &mut [ResourceModel]) {
    let roots: BTreeMap<i16, TableName> =
        resources.iter().map(|r| (r.key, (r.tables[0].schema.clone(), r.tables[0].name.clone()))).collect();
    for (resource, from) in resources.iter_mut().zip(merged) {
        if resource.is_descriptor {
            continue;
        }
        natural_key(resource);
        array_uniqueness(resource);
        parent_keys(resource);
        reference_keys(resource, &roots);
        indexes(resource, from);
    }
}

fn natural_key(resource: &mut ResourceModel) {
    let mut columns: Vec<usize> = Vec::new();
    for element in &resource.identity.elements {
        let column = match element.source {
            IdentitySource::Column { column } => column,
            IdentitySource::Descriptor { site } => resource.descriptors[site].column,
            IdentitySource::Reference { site, .. } => resource.references[site].column,
        };
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    let root = &mut resource.tables[0];
    // For a key too wide for a b-tree, only the primary key of dms.ReferentialIdentity guards the identity.
    if !columns.is_empty() && fits_btree(columns.iter().map(|c| &root.columns[*c])) {
        let columns = columns.into_iter().map(|c| root.columns[c].name.clone()).collect();
        root.uniques.push(Unique { name: format!("UX_{}_NK", root.name), columns });
    }
}

/// Adds a unique constraint where all values lie in one table and fit a b-tree. The writer checks every constraint.
fn array_uniqueness(resource: &mut ResourceModel) {
    for constraint in &resource.array_uniqueness {
        let path_of = |member: &Vec<String>| format!("{}.{}", constraint.items, member.join("."));
        let place = |member: &Vec<String>| {
            let path = path_of(member);
            let column = resource.columns_by_path.get(&path);
            column.or_else(|| resource.columns_by_path.get(paths::parent(&path))).copied()
        };
        let Some(places) = constraint.members.iter().map(place).collect::<Option<Vec<_>>>() else { continue };
        let table = places[0].0;
        let target = &mut resource.tables[table];
        if target.role != TableRole::Collection
            || target.scope != constraint.items
            || places.iter().any(|p| p.0 != table)
        {
            continue;
        }
        let mut columns: Vec<String> = target.key[..target.key.len() - 1].to_vec();
        let mut chosen: Vec<&Column> = Vec::new();
        for (_, column) in places {
            let column = &target.columns[column];
            if !columns.contains(&column.name) {
                columns.push(column.name.clone());
                chosen.push(column);
            }
        }
        if fits_btree(chosen.into_iter()) {
            let name = format!("UX_{}_{}", target.name, columns.join("_"));
            if target.uniques.iter().all(|unique| unique.name != name) {
                target.uniques.push(Unique { name, columns });
            }
        }
    }
}

fn parent_keys(resource: &mut ResourceModel) {
    for at in 0..resource.tables.len() {
        let table = &resource.tables[at];
        let key = match table.parent.map(|parent| &resource.tables[parent]) {
            None => ForeignKey {
                name: format!("FK_{}_Document", table.name),
                columns: table.key.clone(),
                target_schema: "dms".to_owned(),
                target_table: "Document".to_owned(),
                target_columns: vec!["DocumentId".to_owned()],
                cascade: true,
            },
            Some(parent) => ForeignKey {
                name: format!("FK_{}_{}", table.name, parent.name),
                columns: table.key[..parent.key.len()].to_vec(),
                target_schema: parent.schema.clone(),
                target_table: parent.name.clone(),
                target_columns: parent.key.clone(),
                cascade: true,
            },
        };
        resource.tables[at].foreign_keys.push(key);
    }
}

fn reference_keys(resource: &mut ResourceModel, roots: &BTreeMap<i16, TableName>) {
    let dms = |table: &str| ("dms".to_owned(), table.to_owned());
    let references = resource.references.iter().map(|site| {
        let target = match roots.get(&site.target_key) {
            Some(root) if !site.target_abstract => root.clone(),
            _ => dms("Document"),
        };
        (site.table, site.column, target)
    });
    let descriptors = resource.descriptors.iter().map(|site| (site.table, site.column, dms("Descriptor")));
    for (table, column, (target_schema, target_table)) in references.chain(descriptors).collect::<Vec<_>>() {
        let table = &mut resource.tables[table];
        let column = table.columns[column].name.clone();
        table.foreign_keys.push(ForeignKey {
            name: format!("FK_{}_{column}", table.name),
            columns: vec![column],
            target_schema,
            target_table,
            target_columns: vec!["DocumentId".to_owned()],
            cascade: false,
        });
    }
}

fn indexes(resource: &mut ResourceModel, from: &MergedResource<'_>) {
    for table in &mut resource.tables {
        let foreign: Vec<String> =
            table.foreign_keys.iter().filter(|key| !key.cascade).flat_map(|key| key.columns.clone()).collect();
        foreign.into_iter().for_each(|column| add_index(table, column, false));
    }
    let queried = from.base.query_field_mapping.values().flatten().map(|query| query.path.as_str());
    for path in queried {
        let Some(&(table, column)) = resource.columns_by_path.get(path) else { continue };
        let table = &mut resource.tables[table];
        let column = &table.columns[column];
        let (name, wide) = (column.name.clone(), !fits_btree(std::iter::once(column)));
        // A boolean has two values, so its index would return half the table and is never used.
        if column.ty != ColumnType::Bool && table.role != TableRole::Collection {
            add_index(table, name, wide);
        }
    }
}

/// Adds a one-column index unless the primary key, a unique constraint or an index already starts with that column.
fn add_index(table: &mut Table, column: String, hash: bool) {
    let leads = table.key.first() == Some(&column)
        || table.uniques.iter().any(|unique| unique.columns.first() == Some(&column))
        || table.indexes.iter().any(|index| index.columns.first() == Some(&column));
    if !leads {
        table.indexes.push(Index { name: format!("IX_{}_{column}", table.name), columns: vec![column], hash });
    }
}

fn fits_btree<'c>(columns: impl Iterator<Item = &'c Column>) -> bool {
    let bytes = |column: &Column| match (column.ty, column.length_max) {
        (ColumnType::Text, Some(length)) => length.saturating_mul(4),
        (ColumnType::Text, None) => u32::MAX,
        _ => 16,
    };
    columns.map(bytes).fold(0_u32, u32::saturating_add) <= BTREE_KEY_BYTES_MAX
}
