//! Check pass: reports overrides that match nothing, and names that collide once shortened to the engine's limit.

use super::merge::MergedResource;
use super::names::{POSTGRES_NAME_BYTES_MAX, shorten, sql_schema};
use super::types::{Model, ResourceModel, Table};
use crate::apischema::EffectiveSchema;
use std::collections::{BTreeMap, BTreeSet};

/// A name with its place in the files and the object that has it.
struct NameUse {
    name: String,
    place: String,
    bearer: String,
}

/// Reports every problem with file, JSON path and both sides.
pub(crate) fn check(merged: &[MergedResource<'_>], model: &Model, errors: &mut Vec<String>) {
    for (resource, from) in model.resources.iter().zip(merged) {
        unknown_overrides(resource, from, errors);
    }
    relation_names(merged, model, errors);
    for (table, from) in tables(merged, model) {
        let named = |name: &str, path: &str, bearer: String| NameUse {
            name: name.to_owned(),
            place: from.place_of(path),
            bearer,
        };
        let key = table.key.iter().map(|name| named(name, &table.scope, "the key".to_owned()));
        let columns = table.columns.iter().map(|column| named(&column.name, &column.path, column.path.clone()));
        let columns: Vec<NameUse> = key.chain(columns).collect();
        unnamed_columns(&columns, errors);
        collisions(&format!("table {}.{}: column", table.schema, table.name), columns, errors);
        let constraints = table.uniques.iter().map(|u| &u.name).chain(table.foreign_keys.iter().map(|f| &f.name));
        let constraints = constraints.map(|name| named(name, &table.scope, name.clone())).collect();
        collisions(&format!("table {}.{}: constraint", table.schema, table.name), constraints, errors);
    }
}

/// Returns all emitted tables, each with its resource.
fn tables<'m, 'a>(
    merged: &'m [MergedResource<'a>],
    model: &'m Model,
) -> impl Iterator<Item = (&'m Table, &'m MergedResource<'a>)> {
    let resources = model.resources.iter().zip(merged).filter(|(resource, _)| !resource.is_descriptor);
    resources.flat_map(|(resource, from)| resource.tables.iter().map(move |table| (table, from)))
}

/// Reports columns without a name: segments without letters and digits give none.
fn unnamed_columns(columns: &[NameUse], errors: &mut Vec<String>) {
    for column in columns.iter().filter(|column| column.name.is_empty()) {
        let NameUse { place, bearer, .. } = column;
        errors.push(format!(
            "{place}: {bearer} has neither a letter nor a digit, so its column would have no name: give it a nameOverride"
        ));
    }
}

fn unknown_overrides(resource: &ResourceModel, from: &MergedResource<'_>, errors: &mut Vec<String>) {
    let collections: BTreeSet<&str> = resource.tables.iter().map(|table| table.scope.as_str()).collect();
    for path in from.name_overrides().keys() {
        if !collections.contains(path) && !resource.columns_by_path.contains_key(*path) {
            errors.push(format!(
                "{}: {path} matches no collection, no column and no reference object: correct or remove it",
                from.place_of_override(path)
            ));
        }
    }
}

/// Reports SQL schemas that are reserved, and those that two projects would share.
pub(super) fn check_schemas(schema: &EffectiveSchema, errors: &mut Vec<String>) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for project in &schema.projects {
        let endpoint = &project.schema.project_endpoint_name;
        let place = format!("{}: $.projectSchema.projectEndpointName", project.file.display());
        let name = sql_schema(endpoint);
        if matches!(name.as_str(), "dms" | "auth" | "public" | "information_schema") || name.starts_with("pg_") {
            errors.push(format!(
                "{place}: {endpoint} makes the SQL schema {name}, which is reserved: rename the endpoint"
            ));
        }
        if let Some(other) = seen.insert(name.clone(), place.clone()) {
            errors.push(format!("{place}: {endpoint} makes the SQL schema {name}, and so does {other}: rename one"));
        }
    }
}

/// Reports collisions of tables, indexes, unique constraints and views, which share one name space per SQL schema.
fn relation_names(merged: &[MergedResource<'_>], model: &Model, errors: &mut Vec<String>) {
    let mut by_schema: BTreeMap<&str, Vec<NameUse>> = BTreeMap::new();
    for (table, from) in tables(merged, model) {
        let names = by_schema.entry(&table.schema).or_default();
        let place = from.place_of(&table.scope);
        if table.name.is_empty() {
            errors.push(format!(
                "{place}: the name has neither a letter nor a digit, so its table would have no name: give it a nameOverride"
            ));
            continue;
        }
        let named = |name: &str, bearer: String| NameUse { name: name.to_owned(), place: place.clone(), bearer };
        names.push(named(&table.name, format!("the table of {}", table.scope)));
        names.push(named(&format!("PK_{}", table.name), format!("the primary key of {}", table.name)));
        let uniques = table.uniques.iter().map(|unique| (&unique.name, "a unique constraint"));
        let indexes = table.indexes.iter().map(|index| (&index.name, "an index"));
        names.extend(uniques.chain(indexes).map(|(name, kind)| named(name, format!("{kind} of {}", table.name))));
    }
    for view in &model.abstracts {
        let (name, place) = (view.view.clone(), view.place.clone());
        let bearer = format!("the view of {}", view.resource_name);
        by_schema.entry(&view.schema).or_default().push(NameUse { name, place, bearer });
    }
    for (schema, names) in by_schema {
        collisions(&format!("SQL schema {schema}: name"), names, errors);
    }
}

fn collisions(what: &str, names: Vec<NameUse>, errors: &mut Vec<String>) {
    let mut seen: BTreeMap<String, NameUse> = BTreeMap::new();
    for named in names {
        let short = shorten(&named.name, POSTGRES_NAME_BYTES_MAX);
        if let Some(other) = seen.get(&short) {
            let NameUse { place, bearer, .. } = &named;
            errors.push(format!(
                "{place}: {what} {short} is made by both {bearer} and {} ({}): give one a nameOverride",
                other.bearer, other.place
            ));
        }
        seen.insert(short, named);
    }
}
