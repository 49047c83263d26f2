//! Normalization: fills in what files leave implicit, so that later passes see one form only. It does not affect
//! fingerprints, which are computed from the files.

use super::raw::{DESCRIPTOR_MEMBERS, Project, ResourceSchema};
use super::registry::superclass_name;
use serde_json::Value;
use std::collections::BTreeMap;

type OwnedName = (String, String);

/// Fills in the identity paths of abstract resources in older files, which list bare member names: the paths of an
/// association subclass if there is one, else `$.name` for each name.
pub(super) fn abstract_identities(projects: &mut [Project]) {
    let mut of_association: BTreeMap<OwnedName, Vec<String>> = BTreeMap::new();
    for resource in projects.iter().flat_map(|p| p.schema.resource_schemas.values()) {
        if let (Some(superclass), Some("association")) = (superclass_name(resource), resource.subclass_type.as_deref())
        {
            let superclass = (superclass.0.to_owned(), superclass.1.to_owned());
            of_association.entry(superclass).or_insert_with(|| resource.identity_json_paths.clone());
        }
    }
    for project in projects {
        for (name, resource) in &mut project.schema.abstract_resources {
            if !resource.identity_json_paths.is_empty() {
                continue;
            }
            let bare =
                || resource.identity_path_order.iter().map(|name| format!("$.{}", name.trim_start_matches("$.")));
            let association = of_association.get(&(project.schema.project_name.clone(), name.clone()));
            let association = association.filter(|paths| paths.len() == resource.identity_path_order.len());
            resource.identity_json_paths = association.cloned().unwrap_or_else(|| bare().collect());
        }
    }
}

/// Sorts the elements of every reference into the order of the target's identity, which is the order of hashing.
pub(super) fn reference_order(projects: &mut [Project]) {
    let mut identities: BTreeMap<OwnedName, Vec<String>> = BTreeMap::new();
    for project in projects.iter() {
        let owner = || project.schema.project_name.clone();
        for resource in project.schema.resource_schemas.values().filter(|r| !r.is_resource_extension) {
            identities.insert((owner(), resource.resource_name.clone()), resource.identity_json_paths.clone());
        }
        for (name, resource) in &project.schema.abstract_resources {
            identities.insert((owner(), name.clone()), resource.identity_json_paths.clone());
        }
    }
    for resource in all_resources(projects) {
        for mapping in resource.document_paths_mapping.values_mut() {
            let target = mapping.project_name.clone().zip(mapping.resource_name.clone());
            if let Some(order) = target.and_then(|target| identities.get(&target)) {
                mapping
                    .reference_json_paths
                    .sort_by_key(|e| order.iter().position(|path| *path == e.identity_json_path));
            }
        }
    }
}

/// Limits descriptor texts without a `maxLength` to the size of their column in `dms.Descriptor`, so that validation
/// refuses longer ones.
pub(super) fn descriptor_lengths(projects: &mut [Project]) {
    for resource in all_resources(projects).filter(|r| r.is_descriptor) {
        for (name, longest) in DESCRIPTOR_MEMBERS {
            let property = resource.json_schema_for_insert.get_mut("properties").and_then(|p| p.get_mut(name));
            if let (Some(Value::Object(property)), Some(longest)) = (property, longest) {
                property.entry("maxLength").or_insert_with(|| Value::from(longest));
            }
        }
    }
}

fn all_resources(projects: &mut [Project]) -> impl Iterator<Item = &mut ResourceSchema> {
    projects.iter_mut().flat_map(|p| p.schema.resource_schemas.values_mut())
}
