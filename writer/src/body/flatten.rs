//! Flattening: one walk over the body produces the rows of every table, with unresolved references.

use super::findings::{Findings, ProblemMessage};
use super::scalar::{self, Scalar};
use millstream_schema::plan::{
    ColumnType, DescriptorColumn, DescriptorSite, IdentityElement, IdentitySource, Item, Node, Object, ReferenceSite,
    ResourcePlan,
};
use millstream_schema::referential::{descriptor_id, lower_uri, referential_id};
use serde_json::Value;
use std::collections::HashMap;
use uuid::Uuid;

/// One cell of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Value(Scalar),
    /// The id of a document or descriptor, not resolved yet: an index into [`FlatDocument::targets`].
    Target(usize),
}

/// One row: its ordinals, outermost first, and its value columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) ordinals: Vec<i32>,
    pub(crate) cells: Vec<Cell>,
}

/// A document or descriptor that the body refers to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) referential_id: Uuid,
    /// The identity values in the reference, in the form in which they are hashed; empty for descriptors.
    pub(crate) identity: Vec<String>,
    /// Paths of all references to it in the body, such as `$.benches[2].toolReference`.
    pub(crate) paths: Vec<String>,
    /// Name of its type, for messages.
    pub(crate) type_name: String,
    /// The URI of a descriptor.
    pub(crate) uri: Option<String>,
    /// Whether any reference to it is part of this document's identity.
    pub(crate) is_identity_component: bool,
    /// Whether its type is changeable: identities of the type can change.
    pub(crate) is_changeable: bool,
}

/// A body in the form of rows.
#[derive(Debug)]
pub(crate) struct FlatDocument {
    /// Rows by table, in the order of `ResourcePlan::tables`; within a table in key order.
    pub(crate) tables: Vec<Vec<Row>>,
    /// The documents and descriptors that the body refers to, each once.
    pub(crate) targets: Vec<Target>,
    /// The document's own ReferentialId.
    pub(crate) referential_id: Uuid,
    /// The document's canonical identity values in the casing of the body, in the order in which they are hashed.
    pub(crate) identity_values: Vec<String>,
}

impl FlatDocument {
    /// Returns whether the identity of this body equals the `stored` identity of a document. Equal ReferentialIds do
    /// not prove it: the hashed name separates the values with characters that values may contain.
    pub(crate) fn has_identity(&self, resource: &ResourcePlan, stored: &[String]) -> bool {
        let elements = &resource.identity.elements;
        let same = |(element, (given, stored)): (&IdentityElement, (&String, &String))| match element.lower_case {
            true => lower_uri(given) == lower_uri(stored),
            false => given == stored,
        };
        stored.len() == elements.len() && elements.iter().zip(self.identity_values.iter().zip(stored)).all(same)
    }
}

impl Target {
    /// Returns whether the target is the document with these stored `IdentityValues`, if their ReferentialIds are
    /// equal. The target has descriptors among its values in lower case.
    pub(crate) fn is_named_by(&self, stored: &[String]) -> bool {
        let same = |(named, stored): (&String, &String)| named == stored || *named == lower_uri(stored);
        self.uri.is_some() || (self.identity.len() == stored.len() && self.identity.iter().zip(stored).all(same))
    }
}

/// Flattens a pruned, schema-valid body. Adds scalars out of range and incomplete references to `findings`.
pub(super) fn flatten(resource: &ResourcePlan, body: &Value, findings: &mut Findings) -> FlatDocument {
    let mut walk = Walk {
        resource,
        tables: resource.tables.iter().map(|_| Vec::new()).collect(),
        targets: Vec::new(),
        by_id: HashMap::new(),
        reference_values: vec![Vec::new(); resource.references.len()],
        findings,
    };
    walk.row(0, &[]);
    walk.object(&resource.body, body, &BodyPosition { ordinals: &[], path: "$" });
    if resource.is_descriptor {
        walk.descriptor_columns();
    }
    let identity_values = walk.identity_values(body);
    let elements = resource.identity.elements.iter().zip(&identity_values);
    let hashed: Vec<(&str, String)> = elements
        .map(|(element, value)| {
            (element.path.as_str(), if element.lower_case { lower_uri(value) } else { value.clone() })
        })
        .collect();
    let pairs = hashed.iter().map(|(path, value)| (*path, value.as_str()));
    let referential_id = referential_id(&resource.project_name, &resource.resource_name, pairs);
    FlatDocument { tables: walk.tables, targets: walk.targets, referential_id, identity_values }
}

struct Walk<'p, 'f> {
    resource: &'p ResourcePlan,
    tables: Vec<Vec<Row>>,
    targets: Vec<Target>,
    by_id: HashMap<Uuid, usize>,
    /// Canonical values of the references outside collections: by site, then by member; empty for an absent reference.
    reference_values: Vec<Vec<String>>,
    findings: &'f mut Findings,
}

/// The position of the walk in the body.
struct BodyPosition<'a> {
    ordinals: &'a [i32],
    path: &'a str,
}

impl Walk<'_, '_> {
    fn row(&mut self, table: usize, ordinals: &[i32]) {
        let cells = vec![Cell::Null; self.resource.tables[table].columns.len()];
        self.tables[table].push(Row { ordinals: ordinals.to_vec(), cells });
    }

    /// Sets a cell of the row that was last added to a table.
    fn set(&mut self, table: usize, column: usize, cell: Cell) {
        if let Some(row) = self.tables[table].last_mut() {
            row.cells[column] = cell;
        }
    }

    fn object(&mut self, plan: &Object, value: &Value, place: &BodyPosition<'_>) {
        for member in &plan.members {
            if let Some(value) = value.get(&member.name) {
                let path = format!("{}.{}", place.path, member.name);
                self.node(&member.node, value, &BodyPosition { ordinals: place.ordinals, path: &path });
            }
        }
    }

    fn node(&mut self, node: &Node, value: &Value, place: &BodyPosition<'_>) {
        match node {
            Node::Scalar { table, column, ty } => match scalar::read(value, *ty) {
                Ok(scalar) => self.set(*table, *column, Cell::Value(scalar)),
                Err(reason) => self.findings.add(place.path, reason),
            },
            Node::Descriptor { site } => self.descriptor(*site, value, place),
            Node::Reference { site } => self.reference(*site, value, place),
            Node::Object(object) => self.object(object, value, place),
            Node::Array(array) => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    let path = format!("{}[{index}]", place.path);
                    let Ok(ordinal) = i32::try_from(index) else { return };
                    let ordinals: Vec<i32> = place.ordinals.iter().copied().chain([ordinal]).collect();
                    self.row(array.table, &ordinals);
                    let inner = BodyPosition { ordinals: &ordinals, path: &path };
                    match &array.item {
                        Item::Object(object) => self.object(object, item, &inner),
                        Item::Value(node) => self.node(node, item, &inner),
                    }
                }
            }
            Node::Extension(extension) => {
                for project in &extension.projects {
                    if let Some(content) = value.get(&project.endpoint) {
                        self.row(project.table, place.ordinals);
                        let path = format!("{}.{}", place.path, project.endpoint);
                        self.object(&project.object, content, &BodyPosition { ordinals: place.ordinals, path: &path });
                    }
                }
            }
        }
    }

    fn descriptor(&mut self, site: usize, value: &Value, place: &BodyPosition<'_>) {
        let DescriptorSite { table, column, target_project, target_resource, .. } = &self.resource.descriptors[site];
        let uri = match scalar::read(value, ColumnType::Text) {
            Ok(Scalar::Text(uri)) => uri,
            Ok(_) => return,
            Err(reason) => return self.findings.add(place.path, reason),
        };
        let target = Target {
            referential_id: descriptor_id(target_project, target_resource, &uri),
            identity: Vec::new(),
            paths: vec![place.path.to_owned()],
            type_name: target_resource.clone(),
            uri: Some(uri),
            is_identity_component: false,
            is_changeable: false,
        };
        let target = self.target(target);
        self.set(*table, *column, Cell::Target(target));
    }

    fn reference(&mut self, site: usize, value: &Value, place: &BodyPosition<'_>) {
        let plan: &ReferenceSite = &self.resource.references[site];
        let mut members: Vec<String> = Vec::with_capacity(plan.members.len());
        for member in &plan.members {
            let path = format!("{}.{}", place.path, member.name);
            let read = match value.get(&member.name) {
                Some(value) => scalar::read(value, member.ty),
                None => Err(ProblemMessage(format!("{} is required.", member.name))),
            };
            match read {
                Ok(scalar) => members.push(scalar.canonical()),
                Err(reason) => return self.findings.add(&path, reason),
            }
        }
        let hashed: Vec<String> = plan
            .elements
            .iter()
            .map(|(_, member)| match plan.members[*member].lower_case {
                true => lower_uri(&members[*member]),
                false => members[*member].clone(),
            })
            .collect();
        let pairs = plan.elements.iter().zip(&hashed).map(|((path, _), value)| (path.as_str(), value.as_str()));
        let target = Target {
            referential_id: referential_id(&plan.target_project, &plan.target_resource, pairs),
            identity: hashed,
            paths: vec![place.path.to_owned()],
            type_name: plan.target_resource.clone(),
            uri: None,
            is_identity_component: plan.is_identity_component,
            is_changeable: plan.target_changeable,
        };
        if place.ordinals.is_empty() {
            self.reference_values[site] = members;
        }
        let target = self.target(target);
        self.set(plan.table, plan.column, Cell::Target(target));
    }

    /// Adds a target unless it is known, and returns its index. A body with a thousand references to one school
    /// resolves the school once.
    fn target(&mut self, target: Target) -> usize {
        let known = self.by_id.get(&target.referential_id).copied();
        if let Some(at) = known.filter(|at| self.targets[*at].identity == target.identity) {
            let known = &mut self.targets[at];
            known.is_identity_component |= target.is_identity_component;
            known.paths.extend(target.paths);
            return at;
        }
        self.by_id.insert(target.referential_id, self.targets.len());
        self.targets.push(target);
        self.targets.len() - 1
    }

    /// Sets the columns of a descriptor that its body does not contain: `Uri`, `UriLower` and `ResourceKeyId` (see
    /// [`DescriptorColumn`]).
    fn descriptor_columns(&mut self) {
        let text = |cell: Option<&Cell>| match cell {
            Some(Cell::Value(Scalar::Text(text))) => text.clone(),
            _ => String::new(),
        };
        let Some(row) = self.tables[0].last_mut() else { return };
        let cell = |column: DescriptorColumn| text(row.cells.get(column.index()));
        let (namespace, code_value) = (cell(DescriptorColumn::Namespace), cell(DescriptorColumn::CodeValue));
        if namespace.contains('#') {
            // Otherwise two descriptors could have the same URI: namespace `a#b` with code `c`, and `a` with `b#c`.
            self.findings
                .add("$.namespace", "namespace cannot contain '#', which stands between it and the codeValue.");
        }
        let uri = format!("{namespace}#{code_value}");
        row.cells[DescriptorColumn::UriLower.index()] = Cell::Value(Scalar::Text(lower_uri(&uri)));
        row.cells[DescriptorColumn::Uri.index()] = Cell::Value(Scalar::Text(uri));
        row.cells[DescriptorColumn::ResourceKeyId.index()] = Cell::Value(Scalar::Int4(self.resource.key.into()));
    }

    fn identity_values(&mut self, body: &Value) -> Vec<String> {
        let mut values = Vec::with_capacity(self.resource.identity.elements.len());
        for element in &self.resource.identity.elements {
            let value = match &element.source {
                IdentitySource::Column { column } => match self.tables[0].last().map(|row| &row.cells[*column]) {
                    Some(Cell::Value(scalar)) => Some(scalar.canonical()),
                    _ => None,
                },
                IdentitySource::Descriptor { site } => {
                    let path = &self.resource.descriptors[*site].path;
                    path.trim_start_matches("$.")
                        .split('.')
                        .try_fold(body, |at, name| at.get(name))
                        .and_then(|v| v.as_str())
                        .map(str::to_owned)
                }
                IdentitySource::Reference { site, .. } => {
                    let name = element.path.rsplit('.').next().unwrap_or_default();
                    let member = self.resource.references[*site].members.iter().position(|member| member.name == name);
                    member.and_then(|member| self.reference_values[*site].get(member).cloned())
                }
            };
            if value.is_none() {
                self.findings.add(&element.path, "Identity values are required.");
            }
            values.push(value.unwrap_or_default());
        }
        values
    }
}
