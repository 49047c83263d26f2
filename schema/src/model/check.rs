//! Check pass: overrides that match nothing, and names that collide once they are as short as the engine takes them.

use super::merge::Merged;
use super::names::{POSTGRES_NAME_BYTES_MAX, shorten};
use super::{Model, ResourceModel};
use std::collections::{BTreeMap, BTreeSet};

/// Reports every problem with resource, path and both sides.
pub(crate) fn check(merged: &[Merged<'_>], model: &Model, errors: &mut Vec<String>) {
    for (resource, from) in model.resources.iter().zip(merged) {
        unknown_overrides(resource, from, errors);
    }
    reserved_schemas(model, errors);
    relation_names(model, errors);
    model.tables().for_each(|table| {
        let key = table.key.iter().map(|name| (name.clone(), "the key".to_owned()));
        let columns = table.columns.iter().map(|column| (column.name.clone(), column.path.clone()));
        collisions(&format!("table {}.{}: column", table.schema, table.name), key.chain(columns), errors);
        let constraints = table.uniques.iter().map(|u| &u.name).chain(table.foreign_keys.iter().map(|f| &f.name));
        let constraints = constraints.map(|name| (name.clone(), name.clone()));
        collisions(&format!("table {}.{}: constraint", table.schema, table.name), constraints, errors);
    });
}

fn unknown_overrides(resource: &ResourceModel, from: &Merged<'_>, errors: &mut Vec<String>) {
    let collections: BTreeSet<&str> = resource.tables.iter().map(|table| table.scope.as_str()).collect();
    for path in from.name_overrides().keys() {
        if !collections.contains(path) && !resource.columns_by_path.contains_key(*path) {
            errors.push(format!(
                "{}: relational.nameOverrides: {path} matches no collection, no column and no reference object",
                from.label()
            ));
        }
    }
}

fn reserved_schemas(model: &Model, errors: &mut Vec<String>) {
    for schema in &model.schemas {
        if matches!(schema.as_str(), "dms" | "auth" | "public" | "information_schema") || schema.starts_with("pg_") {
            errors.push(format!(
                "SQL schema {schema}, made from a projectEndpointName, is reserved: rename the endpoint"
            ));
        }
    }
    let unique: BTreeSet<&String> = model.schemas.iter().collect();
    if unique.len() != model.schemas.len() {
        errors.push(format!("two projectEndpointNames give the same SQL schema: {}", model.schemas.join(", ")));
    }
}

/// Tables, indexes, unique constraints and views share one name space per SQL schema.
fn relation_names(model: &Model, errors: &mut Vec<String>) {
    let mut by_schema: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    for table in model.tables() {
        let names = by_schema.entry(&table.schema).or_default();
        names.push((table.name.clone(), format!("table of {}", table.scope)));
        names.push((format!("PK_{}", table.name), format!("primary key of {}", table.name)));
        let uniques =
            table.uniques.iter().map(|unique| (unique.name.clone(), format!("unique constraint of {}", table.name)));
        let indexes = table.indexes.iter().map(|index| (index.name.clone(), format!("index of {}", table.name)));
        names.extend(uniques.chain(indexes));
    }
    for view in &model.abstracts {
        by_schema.entry(&view.schema).or_default().push((view.view.clone(), format!("view of {}", view.resource_name)));
    }
    for (schema, names) in by_schema {
        collisions(&format!("SQL schema {schema}: name"), names.into_iter(), errors);
    }
}

fn collisions(what: &str, names: impl Iterator<Item = (String, String)>, errors: &mut Vec<String>) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (name, source) in names {
        let short = shorten(&name, POSTGRES_NAME_BYTES_MAX);
        if let Some(other) = seen.insert(short.clone(), source.clone()) {
            errors.push(format!("{what} {short} is made by both {other} and {source}: give one a nameOverride"));
        }
    }
}
