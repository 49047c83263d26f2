//! An index of all resources of a set by project and resource name.

use super::body_schema::BodySchema;
use super::error::Location;
use super::raw::{AbstractResource, Project, ResourceSchema};
use std::collections::BTreeMap;

/// Project name and resource name.
pub(super) type Name<'a> = (&'a str, &'a str);

/// One entry of a project's `resourceSchemas`.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) project: &'a Project,
    pub(super) endpoint: &'a str,
    pub(super) resource: &'a ResourceSchema,
}

impl<'a> Entry<'a> {
    pub(super) fn name(&self) -> Name<'a> {
        (&self.project.schema.project_name, &self.resource.resource_name)
    }

    pub(super) fn location(&self) -> Location<'a> {
        Location::root(&self.project.file).member("projectSchema").member("resourceSchemas").member(self.endpoint)
    }
}

/// An abstract resource with its project.
#[derive(Clone, Copy)]
pub(super) struct AbstractEntry<'a> {
    pub(super) project: &'a Project,
    pub(super) name: &'a str,
    pub(super) resource: &'a AbstractResource,
}

impl<'a> AbstractEntry<'a> {
    pub(super) fn location(&self) -> Location<'a> {
        Location::root(&self.project.file).member("projectSchema").member("abstractResources").member(self.name)
    }
}

/// Target of a reference.
pub(super) enum Target<'r, 'a> {
    Concrete(&'r Entry<'a>),
    Abstract(&'r AbstractEntry<'a>),
}

/// All resources of a set.
pub(super) struct Registry<'a> {
    pub(super) projects: &'a [Project],
    pub(super) concrete: BTreeMap<Name<'a>, Entry<'a>>,
    pub(super) abstracts: BTreeMap<Name<'a>, AbstractEntry<'a>>,
    pub(super) extensions: Vec<Entry<'a>>,
    /// Abstract resource → its concrete subtypes, by name.
    pub(super) subtypes: BTreeMap<Name<'a>, Vec<Name<'a>>>,
    /// Extended resource → its extensions.
    additions: BTreeMap<Name<'a>, Vec<&'a ResourceSchema>>,
}

impl<'a> Registry<'a> {
    /// Indexes the projects. Of two entries with one name the first stays; the set check refuses the second.
    pub(super) fn new(projects: &'a [Project]) -> Self {
        let mut registry = Self {
            projects,
            concrete: BTreeMap::new(),
            abstracts: BTreeMap::new(),
            extensions: Vec::new(),
            subtypes: BTreeMap::new(),
            additions: BTreeMap::new(),
        };
        for project in projects {
            for (name, resource) in &project.schema.abstract_resources {
                let entry = AbstractEntry { project, name, resource };
                registry.abstracts.entry((&project.schema.project_name, name)).or_insert(entry);
            }
            for (endpoint, resource) in &project.schema.resource_schemas {
                let entry = Entry { project, endpoint, resource };
                if resource.is_resource_extension {
                    registry.extensions.push(entry);
                } else {
                    registry.concrete.entry(entry.name()).or_insert(entry);
                }
            }
        }
        for entry in registry.concrete.values() {
            if let Some(superclass) = superclass_name(entry.resource) {
                registry.subtypes.entry(superclass).or_default().push(entry.name());
            }
        }
        for extension in &registry.extensions {
            if let Some(base) = registry.base_of(extension).map(Entry::name) {
                registry.additions.entry(base).or_default().push(extension.resource);
            }
        }
        registry
    }

    /// Finds a concrete or abstract resource.
    pub(super) fn target<'r, 'n: 'r>(&'r self, name: Name<'n>) -> Option<Target<'r, 'n>>
    where
        'a: 'n,
    {
        let concrete = self.concrete.get(&name).map(Target::Concrete);
        concrete.or_else(|| self.abstracts.get(&name).map(Target::Abstract))
    }

    /// Returns the resource that an extension extends: the core's resource of that name, else the only one of another
    /// project.
    pub(super) fn base_of(&self, extension: &Entry<'a>) -> Option<&Entry<'a>> {
        let own = &extension.project.schema.project_name;
        let named = self.concrete.values().filter(|e| e.resource.resource_name == extension.resource.resource_name);
        let mut elsewhere: Vec<&Entry<'a>> = named.filter(|e| e.project.schema.project_name != *own).collect();
        if let Some(core) = elsewhere.iter().find(|e| !e.project.schema.is_extension_project) {
            return Some(core);
        }
        if elsewhere.len() == 1 { elsewhere.pop() } else { None }
    }

    /// Returns the merged body of a resource: its own schema and the additions of its extensions.
    pub(super) fn body_of(&self, entry: &Entry<'a>) -> BodySchema<'a> {
        let mut body = BodySchema::new(&entry.resource.json_schema_for_insert);
        self.additions.get(&entry.name()).into_iter().flatten().for_each(|extension| body.extend(extension));
        body
    }
}

/// Returns project and name of a resource's superclass.
pub(super) fn superclass_name(resource: &ResourceSchema) -> Option<Name<'_>> {
    if !resource.is_subclass {
        return None;
    }
    Some((resource.superclass_project_name.as_deref()?, resource.superclass_resource_name.as_deref()?))
}
