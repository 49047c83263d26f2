//! Merge pass: merges resource extensions into the concrete resources that they extend.

use super::names;
use super::types::ResourceModel;
use crate::apischema::{DocumentPath, EffectiveSchema, Project, ResourceSchema};
use crate::mapping::{EqualityConstraint, IdentityPlan, Object};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A concrete resource with its extensions.
pub(crate) struct MergedResource<'a> {
    pub(crate) key: i16,
    pub(crate) project: &'a Project,
    pub(crate) endpoint: &'a str,
    pub(crate) base: &'a ResourceSchema,
    /// Extensions, ordered by project endpoint.
    pub(crate) extensions: Vec<(&'a Project, &'a ResourceSchema)>,
    /// Base schema with all `_ext` content in place.
    pub(crate) json_schema: Value,
}

impl<'a> MergedResource<'a> {
    /// Returns the base, then the extensions.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &'a ResourceSchema> {
        std::iter::once(self.base).chain(self.extensions.iter().map(|(_, extension)| *extension))
    }

    /// Returns all entries of `documentPathsMapping`.
    pub(crate) fn document_paths(&self) -> impl Iterator<Item = &'a DocumentPath> {
        self.parts().flat_map(|part| part.document_paths_mapping.values())
    }

    /// Returns all naming overrides, by path.
    pub(crate) fn name_overrides(&self) -> BTreeMap<&'a str, &'a str> {
        let relational = self.parts().filter_map(|part| part.relational.as_ref());
        relational.flat_map(|r| r.name_overrides.iter().map(|(path, name)| (path.as_str(), name.as_str()))).collect()
    }

    /// Returns the name of the root table.
    pub(crate) fn root_table(&self) -> String {
        self.base
            .relational
            .as_ref()
            .and_then(|r| r.root_table_name_override.clone())
            .unwrap_or_else(|| names::pascal(&self.base.resource_name))
    }

    /// Returns the name of the root extension table of a project.
    pub(crate) fn extension_table(&self, project: &Project) -> String {
        let extension = self.extensions.iter().find(|(p, _)| p.schema.project_name == project.schema.project_name);
        extension
            .and_then(|(_, e)| e.relational.as_ref()?.root_table_name_override.clone())
            .unwrap_or_else(|| format!("{}Extension", self.root_table()))
    }

    /// Returns the file and JSON path of the resource, for messages.
    pub(crate) fn label(&self) -> String {
        resource_place(self.project, self.base)
    }

    /// Returns the file and JSON path of the part of the JSON schema that describes a body path.
    pub(crate) fn place_of(&self, body_path: &str) -> String {
        let mut place = format!("{}.jsonSchemaForInsert", self.owner_of(body_path));
        for segment in body_path.split('.').skip(1) {
            let name = segment.trim_end_matches("[*]");
            place.push_str(&format!(".properties.{name}"));
            (0..segment.matches("[*]").count()).for_each(|_| place.push_str(".items"));
        }
        place
    }

    /// Returns the file and JSON path of a naming override.
    pub(crate) fn place_of_override(&self, body_path: &str) -> String {
        let has = |part: &&ResourceSchema| {
            part.relational.as_ref().is_some_and(|relational| relational.name_overrides.contains_key(body_path))
        };
        let extension = self.extensions.iter().find(|(_, extension)| has(extension));
        let owner = extension.filter(|_| !has(&self.base)).map(|(project, part)| resource_place(project, part));
        format!("{}.relational.nameOverrides", owner.unwrap_or_else(|| self.label()))
    }

    /// Returns the extension that adds a path below `_ext`, else the resource itself.
    fn owner_of(&self, body_path: &str) -> String {
        let below = body_path.split_once("._ext.").map(|(_, rest)| rest.split(['.', '[']).next().unwrap_or_default());
        let extension = below.and_then(|key| {
            self.extensions.iter().find(|(project, _)| {
                project.schema.project_endpoint_name.eq_ignore_ascii_case(key)
                    || project.schema.project_name.eq_ignore_ascii_case(key)
            })
        });
        extension.map_or_else(|| self.label(), |(project, part)| resource_place(project, part))
    }

    /// Returns the model of the resource before its schema is traversed.
    pub(crate) fn blank_model(&self) -> ResourceModel {
        let equality: BTreeSet<(&str, &str)> = self
            .parts()
            .flat_map(|part| &part.equality_constraints)
            .map(|c| (c.source_json_path.as_str(), c.target_json_path.as_str()))
            .collect();
        let query_fields: BTreeMap<String, Vec<String>> = self
            .base
            .query_field_mapping
            .iter()
            .map(|(name, list)| (name.clone(), list.iter().map(|p| p.path.clone()).collect()))
            .collect();
        ResourceModel {
            key: self.key,
            project_name: self.project.schema.project_name.clone(),
            resource_name: self.base.resource_name.clone(),
            resource_version: self.project.schema.project_version.clone(),
            project_endpoint: self.project.schema.project_endpoint_name.clone(),
            endpoint: self.endpoint.to_owned(),
            is_descriptor: self.base.is_descriptor,
            allow_identity_updates: self.base.allow_identity_updates && !self.base.is_descriptor,
            changeable: false,
            identity: IdentityPlan { elements: Vec::new(), superclass: None },
            body: Object::default(),
            tables: Vec::new(),
            references: Vec::new(),
            descriptors: Vec::new(),
            json_schema: Value::Null,
            equality_constraints: equality
                .into_iter()
                .map(|(source, target)| EqualityConstraint { source: source.to_owned(), target: target.to_owned() })
                .collect(),
            array_uniqueness: Vec::new(),
            query_fields: query_fields.into_iter().collect(),
            columns_by_path: BTreeMap::new(),
        }
    }
}

/// Returns the file and JSON path of a resource.
fn resource_place(project: &Project, resource: &ResourceSchema) -> String {
    let same = |(_, other): &(&String, &ResourceSchema)| std::ptr::eq(*other, resource);
    let endpoint = project.schema.resource_schemas.iter().find(same).map(|(endpoint, _)| endpoint.as_str());
    let endpoint = endpoint.unwrap_or_default();
    format!("{}: $.projectSchema.resourceSchemas.{endpoint}", project.file.display())
}

/// Merges all resources, ordered by resource key.
pub(crate) fn merge<'a>(schema: &'a EffectiveSchema, errors: &mut Vec<String>) -> Vec<MergedResource<'a>> {
    let mut merged: Vec<MergedResource<'a>> = Vec::new();
    for project in &schema.projects {
        for (endpoint, base) in project.schema.resource_schemas.iter().filter(|(_, r)| !r.is_resource_extension) {
            let same = |k: &&crate::apischema::ResourceKey| {
                k.project_name == project.schema.project_name && k.resource_name == base.resource_name
            };
            let Some(key) = schema.resource_keys.iter().find(same) else {
                errors.push(format!("{}: {} has no resource key", resource_place(project, base), base.resource_name));
                continue;
            };
            let extensions = extensions_of(schema, project, &base.resource_name);
            let json_schema = base.json_schema_for_insert.clone();
            merged.push(MergedResource { key: key.id, project, endpoint, base, extensions, json_schema });
        }
    }
    for resource in &mut merged {
        merge_schemas(resource, errors);
    }
    merged.sort_by_key(|resource| resource.key);
    merged
}

/// Returns the extensions of this resource. An extension extends the core's resource of its name if there is one, else
/// that of any other project.
fn extensions_of<'a>(
    schema: &'a EffectiveSchema,
    owner: &Project,
    name: &str,
) -> Vec<(&'a Project, &'a ResourceSchema)> {
    let is_in_core = schema
        .projects
        .iter()
        .filter(|p| !p.schema.is_extension_project)
        .any(|p| p.schema.resource_schemas.values().any(|r| !r.is_resource_extension && r.resource_name == name));
    if is_in_core && owner.schema.is_extension_project {
        return Vec::new();
    }
    let all = schema.projects.iter().flat_map(|p| p.schema.resource_schemas.values().map(move |r| (p, r)));
    all.filter(|(p, r)| {
        r.is_resource_extension && r.resource_name == name && p.schema.project_name != owner.schema.project_name
    })
    .collect()
}

fn merge_schemas(resource: &mut MergedResource<'_>, errors: &mut Vec<String>) {
    for (project, extension) in resource.extensions.clone() {
        graft_extensions(&mut resource.json_schema, &extension.json_schema_for_insert);
        for fragment in &extension.common_extension_overrides {
            for location in &fragment.insertion_locations {
                match locate(&mut resource.json_schema, location) {
                    Some(target) => insert_fragment(target, &fragment.schema_fragment),
                    None => errors.push(format!(
                        "{}.commonExtensionOverrides: the insertion location {location} does not exist in the base schema",
                        resource_place(project, extension)
                    )),
                }
            }
        }
    }
}

/// Copies every `_ext` of the extension's schema to the same place of the base schema.
fn graft_extensions(base: &mut Value, extension: &Value) {
    let Some(properties) = extension.get("properties").and_then(Value::as_object) else { return };
    for (name, addition) in properties {
        if name == "_ext" {
            insert_fragment(base, addition);
        } else if let Some(existing) = base.get_mut("properties").and_then(|p| p.get_mut(name)) {
            match (existing.get_mut("items"), addition.get("items")) {
                (Some(base_items), Some(items)) => graft_extensions(base_items, items),
                _ => graft_extensions(existing, addition),
            }
        }
    }
}

/// Merges a fragment's project entries into `properties._ext` of an object schema. Merging twice changes nothing.
fn insert_fragment(target: &mut Value, fragment: &Value) {
    let Some(projects) = fragment.get("properties").and_then(Value::as_object) else { return };
    let Some(object) = target.as_object_mut() else { return };
    let properties = object.entry("properties").or_insert_with(|| json!({}));
    let Some(properties) = properties.as_object_mut() else { return };
    let ext = properties
        .entry("_ext")
        .or_insert_with(|| json!({"type": "object", "additionalProperties": true, "properties": {}}));
    let Some(into) = ext.as_object_mut().map(|e| e.entry("properties").or_insert_with(|| json!({}))) else { return };
    let Some(into) = into.as_object_mut() else { return };
    for (project, content) in projects {
        merge_object_schema(into.entry(project.clone()).or_insert_with(|| json!({"type": "object"})), content);
    }
}

fn merge_object_schema(into: &mut Value, content: &Value) {
    let (Some(into), Some(content)) = (into.as_object_mut(), content.as_object()) else { return };
    for (keyword, value) in content {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                let existing = into.entry("properties").or_insert_with(|| Value::Object(Map::new()));
                if let Some(existing) = existing.as_object_mut() {
                    for (name, schema) in properties {
                        existing.entry(name.clone()).or_insert_with(|| schema.clone());
                    }
                }
            }
            ("required", Value::Array(required)) => {
                let existing = into.entry("required").or_insert_with(|| json!([]));
                if let Some(existing) = existing.as_array_mut() {
                    existing.extend(required.iter().filter(|r| !existing.contains(r)).cloned().collect::<Vec<_>>());
                }
            }
            _ => {
                into.entry(keyword.clone()).or_insert_with(|| value.clone());
            }
        }
    }
}

/// Finds `$.properties.addresses.items` in a JSON schema.
fn locate<'v>(schema: &'v mut Value, location: &str) -> Option<&'v mut Value> {
    location.strip_prefix('$')?.split('.').filter(|s| !s.is_empty()).try_fold(schema, |at, segment| at.get_mut(segment))
}
