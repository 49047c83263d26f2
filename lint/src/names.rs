//! Type names: unique among the visible types of a crate, and no generic private name in more than one file.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use syn::visit::{self, Visit};

use crate::source::is_test_only;
use crate::{Finding, Module};

/// Names that say nothing about the thing; one file of a crate may use each for a private type.
const GENERIC: [&str; 9] = ["Place", "Found", "Shared", "Answer", "Wanted", "State", "Held", "Known", "Verdict"];

/// Returns every type name that a crate uses twice.
#[must_use]
pub fn check(modules: &[Module<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut types: BTreeMap<(String, String), String> = BTreeMap::new();
    for Module { file, syntax } in modules {
        let mut visitor = Types::default();
        visitor.visit_file(syntax);
        for (name, line) in visitor.found {
            match types.entry((file.crate_name().to_owned(), name)) {
                Entry::Vacant(entry) => drop(entry.insert(format!("{}:{line}", file.path))),
                Entry::Occupied(entry) => {
                    let (krate, name) = entry.key();
                    let first = entry.get();
                    let message =
                        format!("type {name} is also declared at {first}: name each for what it is ({krate})");
                    findings.push(file.finding(line, &message));
                }
            }
        }
    }
    findings
}

#[derive(Default)]
struct Types {
    found: Vec<(String, usize)>,
}

impl Types {
    fn add(&mut self, visibility: &syn::Visibility, name: &syn::Ident, attributes: &[syn::Attribute]) {
        let name_text = name.to_string();
        let is_visible = !matches!(visibility, syn::Visibility::Inherited);
        // Two platforms or features may each declare the type.
        let is_conditional = attributes.iter().any(|attribute| attribute.path().is_ident("cfg"));
        if !is_conditional && (is_visible || GENERIC.contains(&name_text.as_str())) {
            self.found.push((name_text, name.span().start().line));
        }
    }
}

impl<'ast> Visit<'ast> for Types {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        // Tests, and the alternative of a feature, may repeat a name.
        let is_alternative =
            item.content.is_some() && item.attrs.iter().any(|attribute| attribute.path().is_ident("cfg"));
        if !is_test_only(&item.attrs) && !is_alternative {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add(&item.vis, &item.ident, &item.attrs);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.add(&item.vis, &item.ident, &item.attrs);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.add(&item.vis, &item.ident, &item.attrs);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.add(&item.vis, &item.ident, &item.attrs);
    }

    // Types inside functions have the function for a context.
    fn visit_block(&mut self, _: &'ast syn::Block) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceFile;
    use crate::source::findings;

    #[test]
    fn a_visible_name_used_twice_and_a_generic_private_one_are_found() {
        let files = [
            SourceFile::new("store/src/a.rs", "pub struct Page;\nstruct Found;\nstruct Local;"),
            SourceFile::new("store/src/b.rs", "pub(crate) enum Page {}\nenum Found {}\nstruct Local;"),
            SourceFile::new("api/src/a.rs", "pub struct Page;"),
        ];
        let found: Vec<(String, usize)> =
            findings(check, &files).into_iter().map(|finding| (finding.path, finding.line)).collect();
        assert_eq!(found, [("store/src/b.rs".to_owned(), 1), ("store/src/b.rs".to_owned(), 2)]);
    }

    #[test]
    fn tests_and_other_features_may_repeat_a_name() {
        let files = [
            SourceFile::new("store/src/a.rs", "pub struct Page;\n#[cfg(test)]\nmod tests { pub struct Page; }"),
            SourceFile::new("store/src/b.rs", "#[cfg(windows)]\npub struct Page;\nfn f() { struct Found; }"),
            SourceFile::new("store/tests/c.rs", "pub struct Page;"),
        ];
        assert_eq!(findings(check, &files), []);
    }
}
