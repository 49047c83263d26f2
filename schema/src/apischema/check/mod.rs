//! Checks of a set of ApiSchema files. One run reports every reason to refuse the set.

mod array_uniqueness;
mod descriptor;
mod extension;
mod identity_cycle;
mod json_path;
mod json_schema;
mod reference;
mod resource;
mod set;
mod subclass;

use super::error::Findings;
use super::raw::Project;
use super::registry::Registry;

/// Checks the projects of a set against each other and against the limits of storage.
pub(super) fn check(versions: &[(&std::path::Path, &str)], projects: &[Project], findings: &mut Findings) {
    if !set::check(versions, projects, findings) {
        return;
    }
    let registry = Registry::new(projects);
    let mut patterns = json_schema::Patterns::default();
    for entry in registry.concrete.values() {
        json_schema::check(entry, &registry, &mut patterns, findings);
        if entry.resource.is_descriptor {
            descriptor::check(entry, findings);
        }
        let body = registry.body_of(entry);
        resource::check(entry, &body, &registry, findings);
        subclass::check(entry, &registry, findings);
    }
    for entry in &registry.extensions {
        json_schema::check(entry, &registry, &mut patterns, findings);
        extension::check(entry, &registry, findings);
    }
    for entry in registry.abstracts.values() {
        subclass::check_abstract(entry, findings);
    }
    identity_cycle::check(&registry, findings);
}
