//! Checks subclasses and abstract resources: a document of a subclass is also found under its superclass, so both must
//! have the same identity values (docs/design/edfi-identity.md#edfi-2.6).

use crate::apischema::error::Findings;
use crate::apischema::path;
use crate::apischema::registry::{AbstractEntry, Entry, Registry, superclass_name};

/// Checks a resource against its superclass.
pub(super) fn check(entry: &Entry<'_>, registry: &Registry<'_>, findings: &mut Findings) {
    let resource = entry.resource;
    if !resource.is_subclass {
        return;
    }
    let Some((project, name)) = superclass_name(resource) else {
        findings.refuse(
            &entry.location().member("superclassResourceName"),
            "a subclass names superclassProjectName and superclassResourceName",
        );
        return;
    };
    let Some(superclass) = registry.abstracts.get(&(project, name)) else {
        findings.refuse(
            &entry.location().member("superclassResourceName"),
            format!("{project} {name} is not among the abstractResources of the loaded projects: load its project, or correct the name"),
        );
        return;
    };
    let expected = &superclass.resource.identity_json_paths;
    match resource.subclass_type.as_deref() {
        Some("association") => {
            if resource.identity_json_paths != *expected {
                let problem = format!(
                    "an association has the identity of {project} {name}, in the same order: {}",
                    expected.join(", ")
                );
                findings.refuse(&entry.location().member("identityJsonPaths"), problem);
            }
        }
        Some("domainEntity") => domain_entity(entry, expected, findings),
        other => {
            let problem = format!("{} is unknown: expected association or domainEntity", other.unwrap_or("nothing"));
            findings.refuse(&entry.location().member("subclassType"), problem);
        }
    }
}

fn domain_entity(entry: &Entry<'_>, expected: &[String], findings: &mut Findings) {
    let at = entry.location().member("superclassIdentityJsonPath");
    match entry.resource.superclass_identity_json_path.as_ref() {
        None => findings
            .refuse(&at, "missing: a domainEntity names the path of its superclass that its identity stands for"),
        Some(path) if [path].into_iter().ne(expected) => {
            findings
                .refuse(&at, format!("{path} is not the identity of the superclass, which is {}", expected.join(", ")));
        }
        Some(_) => {}
    }
    if entry.resource.identity_json_paths.len() > 1 {
        findings.refuse(
            &entry.location().member("identityJsonPaths"),
            "a domainEntity subclass has one identity path, which its superclass renames",
        );
    }
}

/// Checks an abstract resource.
pub(super) fn check_abstract(entry: &AbstractEntry<'_>, findings: &mut Findings) {
    let at = entry.location().member("identityJsonPaths");
    if entry.resource.identity_json_paths.is_empty() {
        findings.refuse(&at, "missing or empty: an abstract resource needs an identity");
    }
    for (index, json_path) in entry.resource.identity_json_paths.iter().enumerate() {
        if path::parse(json_path).is_none_or(|segments| segments.is_empty()) {
            findings.refuse(&at.item(index), format!("{json_path:?} is not a path: expected $.name.name"));
        } else if path::has_array(json_path) {
            findings
                .refuse(&at.item(index), format!("{json_path} leads through an array: an identity has single values"));
        }
    }
}
