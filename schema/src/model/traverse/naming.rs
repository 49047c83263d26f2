//! What the walk calls columns and collections
//! (docs/design/edfi-model.md#edfi-4.2 to docs/design/edfi-model.md#edfi-4.4,
//! docs/design/rules.md#rule-20).

use super::{Scope, Walk};
use crate::model::names::{pascal, singular, without_suffix};
use crate::model::paths;

impl Walk<'_, '_> {
    /// Override, else PascalCase of the path below the table's scope, without a final `suffix`
    /// (docs/design/rules.md#rule-20).
    pub(super) fn base_name(&self, path: &str, scope: &Scope, suffix: &str) -> String {
        if let Some(name) = self.overrides.get(path) {
            return (*name).to_owned();
        }
        let segments = paths::below(path, &scope.path);
        let base: String = match segments.is_empty() {
            // A bare item of a collection: named after the collection.
            true => pascal(&singular(paths::leaf(path.trim_end_matches("[*]")))),
            false => segments.into_iter().map(pascal).collect(),
        };
        if suffix.is_empty() { base } else { without_suffix(&base, suffix).to_owned() }
    }

    /// A value called as a key column of ours is (`ordinal` in a collection) steps aside: its schema cannot know of ours.
    pub(super) fn scalar_name(&self, path: &str, scope: &Scope) -> String {
        let name = self.base_name(path, scope, "");
        if self.is_key(&name, path, scope) { format!("{name}Value") } else { name }
    }

    /// So does a reference in a collection to another document of its own type: `School_DocumentId` is the key there, and
    /// `$.neighbors[*].schoolReference` becomes `SchoolReference_DocumentId`.
    pub(super) fn reference_name(&self, path: &str, scope: &Scope) -> String {
        let base = self.base_name(path, scope, "Reference");
        let name = format!("{base}_DocumentId");
        if self.is_key(&name, path, scope) { format!("{base}Reference_DocumentId") } else { name }
    }

    /// Whether a name that no override asked for is that of a key column.
    fn is_key(&self, name: &str, path: &str, scope: &Scope) -> bool {
        !self.overrides.contains_key(path) && self.model.tables[scope.table].key.iter().any(|key| key == name)
    }

    /// The part that a collection adds to its parent's table name.
    pub(super) fn collection_segment(&self, path: &str, item_path: &str, scope: &Scope) -> String {
        if let Some(name) = self.overrides.get(item_path) {
            let parent = &self.model.tables[scope.table].name;
            let mut prefixes: Vec<&String> = self.repeated_prefixes.iter().chain([parent]).collect();
            prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
            let stripped =
                prefixes.into_iter().find_map(|p| name.strip_prefix(p.as_str()).filter(|rest| !rest.is_empty()));
            return stripped.unwrap_or(name).to_owned();
        }
        let mut segments = paths::below(path, &scope.path);
        let last = segments.pop().unwrap_or_default();
        segments.into_iter().map(pascal).chain([pascal(&singular(last))]).collect()
    }
}
