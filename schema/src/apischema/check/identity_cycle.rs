//! Checks for identity cycles: types whose identity contains, through references, their own. No document of such a type
//! could be created first, and its renames would not terminate.

use crate::apischema::error::Findings;
use crate::apischema::raw::ResourceSchema;
use crate::apischema::registry::{Name, Registry, Target};
use std::collections::{BTreeMap, BTreeSet};

/// Resource → (resource that its identity contains, path).
type Graph<'a> = BTreeMap<Name<'a>, Vec<(Name<'a>, String)>>;

/// Refuses every cycle and names the paths that close it.
pub(super) fn check(registry: &Registry<'_>, findings: &mut Findings) {
    let mut graph: Graph<'_> =
        registry.concrete.iter().map(|(name, entry)| (*name, dependencies(entry.resource, registry))).collect();
    loop {
        peel(&mut graph);
        let Some(cycle) = walk_cycle(&graph) else { return };
        let Some(first) = cycle.first().and_then(|(name, _)| registry.concrete.get(name)) else { return };
        let mut text = String::new();
        for ((project, resource), path) in &cycle {
            text.push_str(&format!("{project} {resource} ({path}) → "));
        }
        let (project, resource) = first.name();
        let problem = format!(
            "the identity contains itself: {text}{project} {resource}; take one of these references out of its identity"
        );
        findings.refuse(&first.location().member("identityJsonPaths"), problem);
        for (name, _) in &cycle {
            graph.remove(name);
        }
    }
}

/// Returns the resources that a resource's identity contains. An abstract target stands for all its subtypes.
fn dependencies<'a>(resource: &'a ResourceSchema, registry: &Registry<'a>) -> Vec<(Name<'a>, String)> {
    let identity: BTreeSet<&str> = resource.identity_json_paths.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    for mapping in resource.document_paths_mapping.values().filter(|m| m.is_reference && !m.is_descriptor) {
        let component = mapping.reference_json_paths.iter().find(|e| identity.contains(e.reference_json_path.as_str()));
        let target = mapping.project_name.as_deref().zip(mapping.resource_name.as_deref());
        let (Some(component), Some(target)) = (component, target) else { continue };
        let path = &component.reference_json_path;
        match registry.target(target) {
            Some(Target::Concrete(entry)) => found.push((entry.name(), path.clone())),
            Some(Target::Abstract(entry)) => {
                let subtypes = registry.subtypes.get(&target).map(Vec::as_slice).unwrap_or_default();
                let label = format!("{path}, through {} {}", entry.project.schema.project_name, entry.name);
                found.extend(subtypes.iter().map(|subtype| (*subtype, label.clone())));
            }
            None => {}
        }
    }
    found
}

/// Removes resources whose identity contains none of the remaining ones, until nothing changes. Cycles and the
/// resources that lead to them remain.
fn peel(graph: &mut Graph<'_>) {
    let mut waiting_for: BTreeMap<Name<'_>, Vec<Name<'_>>> = BTreeMap::new();
    let mut open: BTreeMap<Name<'_>, usize> = BTreeMap::new();
    for (name, dependencies) in graph.iter() {
        let left = dependencies.iter().filter(|(target, _)| graph.contains_key(target));
        let left: BTreeSet<Name<'_>> = left.map(|(target, _)| *target).collect();
        open.insert(*name, left.len());
        left.into_iter().for_each(|target| waiting_for.entry(target).or_default().push(*name));
    }
    let mut free: Vec<Name<'_>> = open.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    let mut gone = BTreeSet::new();
    while let Some(name) = free.pop() {
        gone.insert(name);
        for waiting in waiting_for.get(&name).into_iter().flatten() {
            if let Some(count) = open.get_mut(waiting) {
                *count -= 1;
                if *count == 0 {
                    free.push(*waiting);
                }
            }
        }
    }
    graph.retain(|name, _| !gone.contains(name));
}

/// Returns a cycle of a peeled graph, in which every resource contains another.
fn walk_cycle<'a>(graph: &Graph<'a>) -> Option<Vec<(Name<'a>, String)>> {
    let mut at = *graph.keys().next()?;
    let mut steps: Vec<(Name<'a>, String)> = Vec::new();
    let mut position: BTreeMap<Name<'a>, usize> = BTreeMap::new();
    loop {
        if let Some(start) = position.insert(at, steps.len()) {
            return Some(steps.split_off(start));
        }
        let (next, path) = graph.get(&at)?.iter().find(|(target, _)| graph.contains_key(target))?;
        steps.push((at, path.clone()));
        at = *next;
    }
}
