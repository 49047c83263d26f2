//! Checks that the files form one set: one format version, one core, unique names.

use crate::apischema::error::{Findings, Location};
use crate::apischema::fingerprint;
use crate::apischema::raw::Project;
use std::collections::BTreeMap;
use std::path::Path;

/// Checks the set. Returns false if it does not have exactly one core; references to the core then cannot be checked.
pub(super) fn check(versions: &[(&Path, &str)], projects: &[Project], findings: &mut Findings) -> bool {
    same_version(versions, findings);
    endpoints(projects, findings);
    resource_names(projects, findings);
    if fingerprint::resource_keys(projects.iter().map(|p| &p.schema)).is_none() {
        for project in projects {
            findings.refuse(
                &Location::root(&project.file).member("projectSchema").member("resourceSchemas"),
                "the set has more than 32767 resources, the limit of a resource key: load fewer projects",
            );
        }
    }
    one_core(projects, findings)
}

fn same_version(versions: &[(&Path, &str)], findings: &mut Findings) {
    let Some((first_file, first)) = versions.first() else { return };
    for (file, version) in versions.iter().filter(|(_, version)| version != first) {
        findings.refuse(
            &Location::root(file).member("apiSchemaVersion"),
            format!(
                "{version}, but {} has {first}: all files of a set must have one format version",
                first_file.display()
            ),
        );
    }
}

fn one_core(projects: &[Project], findings: &mut Findings) -> bool {
    let cores: Vec<&Project> = projects.iter().filter(|p| !p.schema.is_extension_project).collect();
    match cores.as_slice() {
        [_] => true,
        [] => {
            for project in projects {
                findings.refuse(
                    &core_mark(project),
                    "no file of the set is the core project (isExtensionProject false): add its file",
                );
            }
            false
        }
        [first, rest @ ..] => {
            for project in rest {
                let problem = format!(
                    "{} is a core project, and so is {} of {}: a set has exactly one; load them separately",
                    project.schema.project_name,
                    first.schema.project_name,
                    first.file.display()
                );
                findings.refuse(&core_mark(project), problem);
            }
            false
        }
    }
}

fn core_mark(project: &Project) -> Location<'_> {
    Location::root(&project.file).member("projectSchema").member("isExtensionProject")
}

fn endpoints(projects: &[Project], findings: &mut Findings) {
    let mut seen: BTreeMap<String, &Project> = BTreeMap::new();
    for project in projects {
        let at = Location::root(&project.file).member("projectSchema");
        let endpoint = &project.schema.project_endpoint_name;
        if !is_url_segment(endpoint) {
            let problem = format!("{endpoint:?} cannot be a URL segment: use letters, digits and hyphens");
            findings.refuse(&at.member("projectEndpointName"), problem);
        }
        if let Some(other) = seen.insert(endpoint.to_ascii_lowercase(), project) {
            let problem = format!("{endpoint} is also the endpoint of {}: leave one of them out", other.file.display());
            findings.refuse(&at.member("projectEndpointName"), problem);
        }
        let mut resources: BTreeMap<String, &str> = BTreeMap::new();
        for endpoint in project.schema.resource_schemas.keys() {
            let at = at.member("resourceSchemas").member(endpoint);
            if !is_url_segment(endpoint) {
                findings.refuse(&at, "an endpoint name must be a URL segment: use letters, digits and hyphens");
            }
            if let Some(other) = resources.insert(endpoint.to_ascii_lowercase(), endpoint) {
                findings
                    .refuse(&at, format!("routes ignore case, so this is the same endpoint as {other}: rename one"));
            }
        }
    }
}

fn is_url_segment(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

fn resource_names(projects: &[Project], findings: &mut Findings) {
    let mut seen: BTreeMap<(&str, &str), String> = BTreeMap::new();
    for project in projects {
        let at = Location::root(&project.file).member("projectSchema");
        let name = project.schema.project_name.as_str();
        let concrete = project.schema.resource_schemas.iter().filter(|(_, r)| !r.is_resource_extension);
        let concrete =
            concrete.map(|(endpoint, r)| (r.resource_name.as_str(), at.member("resourceSchemas").member(endpoint)));
        let abstracts = project.schema.abstract_resources.keys();
        let abstracts = abstracts.map(|resource| (resource.as_str(), at.member("abstractResources").member(resource)));
        for (resource, location) in concrete.chain(abstracts) {
            if resource.trim().is_empty() {
                findings.refuse(&location.member("resourceName"), "empty: every resource needs a name");
            }
            let place = format!("{} of {}", location.path(), project.file.display());
            if let Some(other) = seen.insert((name, resource), place) {
                findings.refuse(
                    &location,
                    format!("{name} {resource} is defined twice, also at {other}: leave one of them out"),
                );
            }
        }
    }
}
