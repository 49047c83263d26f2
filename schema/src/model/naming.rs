//! Names of columns and collections
//! (docs/design/edfi-model.md#edfi-4.2 to docs/design/edfi-model.md#edfi-4.4, docs/design/rules.md#rule-20).

use super::merge::MergedResource;
use super::names::{pascal, singular, without_suffix};
use super::types::Table;
use crate::apischema::path as paths;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The names of one resource's columns and collections.
pub(super) struct Naming<'m> {
    overrides: BTreeMap<&'m str, &'m str>,
    /// Prefixes that a collection's override may repeat; they are dropped (docs/design/edfi-model.md#edfi-4.7).
    repeated_prefixes: Vec<String>,
}

impl<'m> Naming<'m> {
    pub(super) fn new(resource: &MergedResource<'m>) -> Self {
        let mut repeated_prefixes = vec![resource.root_table(), pascal(&resource.base.resource_name)];
        repeated_prefixes.extend(resource.base.superclass_resource_name.as_deref().map(pascal));
        Self { overrides: resource.name_overrides(), repeated_prefixes }
    }

    /// Returns the override, else the PascalCase of the path below the table's scope without a final `suffix`
    /// (docs/design/rules.md#rule-20).
    pub(super) fn base_name(&self, path: &str, table: &Table, suffix: &str) -> String {
        if let Some(name) = self.overrides.get(path) {
            return (*name).to_owned();
        }
        let segments = paths::below(path, &table.scope);
        let base: String = match segments.is_empty() {
            // A bare item of a collection: named after the collection.
            true => pascal(&singular(paths::leaf(path.trim_end_matches("[*]")))),
            false => segments.into_iter().map(pascal).collect(),
        };
        if suffix.is_empty() { base } else { without_suffix(&base, suffix).to_owned() }
    }

    /// Returns the name of a scalar column. A value that is called like a key column (`ordinal` in a collection) is
    /// renamed: its schema cannot know the key columns.
    pub(super) fn scalar_name(&self, path: &str, table: &Table) -> String {
        let name = self.base_name(path, table, "");
        if self.is_key(&name, path, table) { format!("{name}Value") } else { name }
    }

    /// Returns the name of a reference column. In a collection, a reference to another document of its own type is
    /// renamed: `School_DocumentId` is the key there, and `$.neighbors[*].schoolReference` becomes
    /// `SchoolReference_DocumentId`.
    pub(super) fn reference_name(&self, path: &str, table: &Table) -> String {
        let base = self.base_name(path, table, "Reference");
        let name = format!("{base}_DocumentId");
        if self.is_key(&name, path, table) { format!("{base}Reference_DocumentId") } else { name }
    }

    /// Returns whether a name that no override asked for is that of a key column.
    fn is_key(&self, name: &str, path: &str, table: &Table) -> bool {
        !self.overrides.contains_key(path) && table.key.iter().any(|key| key == name)
    }

    /// Returns the segment that a collection adds to its parent's table name.
    pub(super) fn collection_segment(&self, path: &str, item_path: &str, parent: &Table) -> String {
        if let Some(name) = self.overrides.get(item_path) {
            let mut prefixes: Vec<&String> = self.repeated_prefixes.iter().chain([&parent.name]).collect();
            prefixes.sort_by_key(|prefix| Reverse(prefix.len()));
            let stripped =
                prefixes.into_iter().find_map(|p| name.strip_prefix(p.as_str()).filter(|rest| !rest.is_empty()));
            return stripped.unwrap_or(name).to_owned();
        }
        let mut segments = paths::below(path, &parent.scope);
        let last = segments.pop().unwrap_or_default();
        segments.into_iter().map(pascal).chain([pascal(&singular(last))]).collect()
    }
}
