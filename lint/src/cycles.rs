//! File cycles: inside a crate, files import each other in one direction.
//!
//! An arrow runs from a file to every file whose items it names through `crate::`, `super::` or `self::`. A path that
//! reaches a re-export counts as an arrow to the file that re-exports, and a `mod` declaration is not an arrow, so a
//! parent may declare children that use its items as long as it does not use theirs.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use crate::source::is_test_only;
use crate::{Finding, Module};

/// A module path inside its crate, such as `["queue", "entry"]`; empty for the crate's root.
type ModulePath = Vec<String>;

/// Returns one finding per group of files that import each other in a loop.
#[must_use]
pub fn check(modules: &[Module<'_>]) -> Vec<Finding> {
    let mut crates: BTreeMap<&str, Vec<&Module<'_>>> = BTreeMap::new();
    for module in modules {
        crates.entry(module.file.crate_name()).or_default().push(module);
    }
    let mut findings = Vec::new();
    for modules in crates.values() {
        let graph = Graph::new(modules);
        for group in graph.cycles() {
            let paths: Vec<&str> = group.iter().map(|index| modules[*index].file.path.as_str()).collect();
            let message = format!("a cycle of {} files: {}", paths.len(), paths.join(", "));
            findings.push(modules[group[0]].file.finding(1, &message));
        }
    }
    findings
}

struct Graph {
    arrows: Vec<BTreeSet<usize>>,
}

impl Graph {
    fn new(modules: &[&Module<'_>]) -> Self {
        let has_library = modules.iter().any(|module| module.file.path.ends_with("/src/lib.rs"));
        let paths: Vec<ModulePath> = modules.iter().map(|module| path_of(&module.file.path, has_library)).collect();
        let by_path: BTreeMap<&[String], usize> =
            paths.iter().enumerate().map(|(index, path)| (path.as_slice(), index)).collect();
        let arrows = modules.iter().zip(&paths).map(|(module, path)| {
            let mut visitor = Paths { module: path.clone(), found: BTreeSet::new() };
            visitor.visit_file(&module.syntax);
            let targets = visitor.found.iter().filter_map(|path| target(path, &by_path));
            targets.filter(|target| paths[*target] != *path).collect()
        });
        Self { arrows: arrows.collect() }
    }

    /// Groups of files that reach each other, by Kosaraju's algorithm; the walks do not recurse.
    fn cycles(&self) -> Vec<Vec<usize>> {
        let count = self.arrows.len();
        let mut order = Vec::new();
        let mut seen = vec![false; count];
        for start in 0..count {
            walk(&self.arrows, start, &mut seen, &mut order);
        }
        let mut reversed = vec![BTreeSet::new(); count];
        for (from, targets) in self.arrows.iter().enumerate() {
            for to in targets {
                reversed[*to].insert(from);
            }
        }
        let mut seen = vec![false; count];
        let mut groups = Vec::new();
        for start in order.into_iter().rev() {
            let mut group = Vec::new();
            walk(&reversed, start, &mut seen, &mut group);
            if group.len() > 1 {
                group.sort_unstable();
                groups.push(group);
            }
        }
        groups.sort();
        groups
    }
}

/// Appends to `order` every node that is reached from `start` and not yet seen, each after those that it reaches.
fn walk(arrows: &[BTreeSet<usize>], start: usize, seen: &mut [bool], order: &mut Vec<usize>) {
    if std::mem::replace(&mut seen[start], true) {
        return;
    }
    let mut stack = vec![(start, arrows[start].iter())];
    while let Some((node, rest)) = stack.last_mut() {
        match rest.next() {
            Some(next) if !std::mem::replace(&mut seen[*next], true) => stack.push((*next, arrows[*next].iter())),
            Some(_) => {}
            None => {
                order.push(*node);
                stack.pop();
            }
        }
    }
}

/// `store/src/load/mod.rs` is `["load"]`, `store/src/lib.rs` is `[]`. A binary beside a library is a crate of its own.
fn path_of(path: &str, has_library: bool) -> ModulePath {
    let inner = path.split_once("/src/").map_or(path, |(_, inner)| inner).trim_end_matches(".rs");
    let mut module: ModulePath = inner.split('/').map(str::to_owned).collect();
    let is_root = match module.last().map(String::as_str) {
        Some("mod" | "lib") => true,
        Some("main") => !has_library,
        _ => false,
    };
    if is_root {
        module.pop();
    }
    module
}

/// The file of the longest prefix of a path that is a module: the rest names items in it.
fn target(path: &[String], modules: &BTreeMap<&[String], usize>) -> Option<usize> {
    (0..=path.len()).rev().find_map(|length| modules.get(&path[..length]).copied())
}

struct Paths {
    module: ModulePath,
    found: BTreeSet<ModulePath>,
}

impl Paths {
    fn add(&mut self, segments: &[String]) {
        let mut base = match segments.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => self.module.clone(),
            // Relative to this module: a child's item, or something of another crate, which no module answers to.
            Some(_) if segments.len() > 1 => self.module.clone(),
            _ => return,
        };
        for segment in segments {
            match segment.as_str() {
                "crate" | "self" => {}
                "super" => drop(base.pop()),
                name => base.push(name.to_owned()),
            }
        }
        self.found.insert(base);
    }

    fn add_tree(&mut self, tree: &syn::UseTree, mut prefix: Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.add_tree(&path.tree, prefix);
            }
            syn::UseTree::Name(name) => {
                prefix.push(name.ident.to_string());
                self.add(&prefix);
            }
            syn::UseTree::Rename(name) => {
                prefix.push(name.ident.to_string());
                self.add(&prefix);
            }
            syn::UseTree::Glob(_) => self.add(&prefix),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(tree, prefix.clone())),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_test_only(&item.attrs) {
            return;
        }
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        // A re-export passes a name on and uses nothing of it.
        if matches!(item.vis, syn::Visibility::Inherited) {
            self.add_tree(&item.tree, Vec::new());
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&segments);
        visit::visit_path(self, path);
    }

    // `pub(in crate::queue)` is a boundary, not a use.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceFile;
    use crate::source::findings;

    #[test]
    fn files_that_import_each_other_are_found_through_super_and_paths() {
        let files = [
            SourceFile::new("store/src/lib.rs", "pub mod a;\npub mod b;"),
            SourceFile::new("store/src/a/mod.rs", "mod c;\npub fn f() { c::g(); self::c::g(); }"),
            SourceFile::new("store/src/a/c.rs", "use super::f;\nfn g() {}"),
            SourceFile::new("store/src/b.rs", "use crate::a::f;"),
        ];
        let found = findings(check, &files);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.contains("store/src/a/c.rs") && !found[0].message.contains("b.rs"), "{found:?}");
    }

    #[test]
    fn a_parent_that_only_declares_and_re_exports_is_not_in_a_cycle() {
        let files = [
            SourceFile::new("store/src/a/mod.rs", "mod c;\npub use self::c::g;\npub struct Base;"),
            SourceFile::new(
                "store/src/a/c.rs",
                "use super::Base;\npub fn g(_: Base) {}\n#[cfg(test)]\nmod tests { use super::*; }",
            ),
        ];
        assert_eq!(findings(check, &files), []);
    }
}
