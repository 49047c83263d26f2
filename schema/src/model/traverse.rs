//! Traverse pass: one walk of a resource's JSON schema creates its tables, columns and body tree.

use super::merge::MergedResource;
use super::names::{pascal, sql_schema};
use super::naming::Naming;
use super::types::{Column, ResourceModel, Table};
use crate::apischema::{DecimalInfo, DocumentPath, Project, path as paths};
use crate::mapping::{
    Array, ColumnType, DescriptorColumn, DescriptorSite, Extension, ExtensionProject, Item, Member, Node, Object,
    ReferenceMember, ReferenceSite, TableRole,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The current place of the walk.
#[derive(Clone, Copy)]
struct Scope {
    table: usize,
    /// Every object from the table's row down to the current place is required.
    required: bool,
}

struct TableWalk<'a, 'm> {
    resource: &'a MergedResource<'m>,
    references: BTreeMap<String, &'m DocumentPath>,
    descriptors: BTreeMap<&'m str, &'m DocumentPath>,
    decimals: BTreeMap<&'m str, &'m DecimalInfo>,
    naming: Naming<'m>,
    model: ResourceModel,
    /// Per table: its collection suffix below the root, and the ordinal names that its children inherit.
    suffixes: Vec<(String, Vec<String>)>,
    errors: &'a mut Vec<String>,
}

/// Walks one resource. References stay unbound until the bind pass.
pub(crate) fn traverse(resource: &MergedResource<'_>, errors: &mut Vec<String>) -> ResourceModel {
    let mut walk = TableWalk::new(resource, errors);
    let root = if resource.base.is_descriptor { walk.descriptor_table() } else { walk.root_table() };
    let scope = Scope { table: root, required: true };
    let schema = &resource.json_schema;
    walk.model.body = walk.object(schema, "$", scope);
    walk.model.json_schema = schema.clone();
    walk.model
}

impl<'a, 'm> TableWalk<'a, 'm> {
    fn new(resource: &'a MergedResource<'m>, errors: &'a mut Vec<String>) -> Self {
        let mut references = BTreeMap::new();
        let mut descriptors = BTreeMap::new();
        for entry in resource.document_paths().filter(|entry| entry.is_reference) {
            if entry.is_descriptor {
                if let Some(path) = &entry.path {
                    descriptors.insert(path.as_str(), entry);
                }
            } else if let Some(first) = entry.reference_json_paths.first() {
                references.insert(paths::parent(&first.reference_json_path).to_owned(), entry);
            }
        }
        let decimals = resource.parts().flat_map(|p| &p.decimal_property_validation_infos);
        Self {
            references,
            descriptors,
            decimals: decimals.map(|info| (info.path.as_str(), info)).collect(),
            naming: Naming::new(resource),
            model: resource.blank_model(),
            suffixes: Vec::new(),
            resource,
            errors,
        }
    }

    fn root_table(&mut self) -> usize {
        let schema = sql_schema(&self.resource.project.schema.project_endpoint_name);
        let name = self.resource.root_table();
        self.add_table(schema, name, TableRole::Root, "$", None, vec!["DocumentId".to_owned()], (String::new(), vec![]))
    }

    /// Adds `dms.Descriptor` with all its columns, including those that no body has.
    fn descriptor_table(&mut self) -> usize {
        let key = vec!["DocumentId".to_owned()];
        let table = self.add_table(
            "dms".to_owned(),
            "Descriptor".to_owned(),
            TableRole::Root,
            "$",
            None,
            key,
            Default::default(),
        );
        self.model.tables[table].columns.extend(DescriptorColumn::ALL.map(|column| Column {
            name: column.name().to_owned(),
            ty: column.column_type(),
            length_max: Some(1024),
            required: column.required(),
            path: String::new(),
        }));
        table
    }

    #[allow(clippy::too_many_arguments)] // one call each for root, descriptor, collection and extension
    fn add_table(
        &mut self,
        schema: String,
        name: String,
        role: TableRole,
        scope: &str,
        parent: Option<usize>,
        key: Vec<String>,
        suffix: (String, Vec<String>),
    ) -> usize {
        self.model.tables.push(Table {
            schema,
            name,
            role,
            scope: scope.to_owned(),
            parent,
            key,
            columns: Vec::new(),
            uniques: Vec::new(),
            foreign_keys: Vec::new(),
            indexes: Vec::new(),
        });
        self.suffixes.push(suffix);
        self.model.tables.len() - 1
    }

    /// Returns an object with its members in output order: references, then descriptors, scalars and inlined objects,
    /// then arrays, `_ext` last.
    fn object(&mut self, schema: &Value, path: &str, scope: Scope) -> Object {
        let mut members = Vec::new();
        let required = required_names(schema);
        let properties: BTreeMap<&str, &Value> = properties_of(schema).collect();
        for (name, property) in properties {
            let at = format!("{path}.{name}");
            if name == "_ext" {
                if let Some(node) = self.extension(property, &at, scope) {
                    members.push((3, Member { name: name.to_owned(), node }));
                }
                continue;
            }
            let nullable = property.get("x-nullable").and_then(Value::as_bool).unwrap_or(false);
            let inner = Scope { required: scope.required && required.contains(name) && !nullable, ..scope };
            if let Some((rank, node)) = self.member(property, &at, inner) {
                members.push((rank, Member { name: name.to_owned(), node }));
            }
        }
        members.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
        Object { members: members.into_iter().map(|(_, member)| member).collect() }
    }

    fn member(&mut self, schema: &Value, path: &str, scope: Scope) -> Option<(u8, Node)> {
        match schema.get("type").and_then(Value::as_str) {
            Some("object") if self.references.contains_key(path) => Some((0, self.reference(schema, path, scope))),
            Some("object") => Some((1, Node::Object(self.object(schema, path, scope)))),
            Some("array") => self.array(schema, path, scope).map(|node| (2, node)),
            _ => Some((1, self.leaf(schema, path, scope))),
        }
    }

    /// Adds the column of a scalar or a descriptor URI.
    fn leaf(&mut self, schema: &Value, path: &str, scope: Scope) -> Node {
        if let Some(target) = self.descriptors.get(path).copied() {
            return self.descriptor(target, path, scope);
        }
        let name = if self.resource.base.is_descriptor {
            pascal(paths::leaf(path))
        } else {
            self.naming.scalar_name(path, self.table(scope))
        };
        let ty = self.column_type(schema, path);
        let length_max = schema.get("maxLength").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        let column = match self.model.tables[scope.table].columns.iter().position(|c| c.name == name) {
            Some(column) if self.resource.base.is_descriptor => {
                self.model.columns_by_path.insert(path.to_owned(), (scope.table, column));
                column
            }
            _ => {
                self.add_column(scope, Column { name, ty, length_max, required: scope.required, path: path.to_owned() })
            }
        };
        Node::Scalar { table: scope.table, column, ty }
    }

    fn descriptor(&mut self, target: &DocumentPath, path: &str, scope: Scope) -> Node {
        let name = format!("{}_DescriptorId", self.naming.base_name(path, self.table(scope), "Descriptor"));
        let ty = ColumnType::Descriptor;
        let column = self
            .add_column(scope, Column { name, ty, length_max: None, required: scope.required, path: path.to_owned() });
        self.model.descriptors.push(DescriptorSite {
            path: path.to_owned(),
            table: scope.table,
            column,
            target_key: 0,
            target_project: target.project_name.clone().unwrap_or_default(),
            target_resource: target.resource_name.clone().unwrap_or_default(),
        });
        Node::Descriptor { site: self.model.descriptors.len() - 1 }
    }

    fn reference(&mut self, schema: &Value, path: &str, scope: Scope) -> Node {
        let target = self.references[path];
        let name = self.naming.reference_name(path, self.table(scope));
        let ty = ColumnType::Document;
        let column = self
            .add_column(scope, Column { name, ty, length_max: None, required: scope.required, path: path.to_owned() });
        let properties: BTreeMap<&str, &Value> = properties_of(schema).collect();
        let mut members: Vec<ReferenceMember> = Vec::new();
        for (position, element) in target.reference_json_paths.iter().enumerate() {
            let name = paths::leaf(&element.reference_json_path);
            if members.iter().all(|member| member.name != name) {
                let ty = properties
                    .get(name)
                    .map_or(ColumnType::Text, |s| self.column_type(s, &element.reference_json_path));
                members.push(ReferenceMember { name: name.to_owned(), position, ty, lower_case: false });
            }
        }
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let elements = target.reference_json_paths.iter().map(|element| {
            let name = paths::leaf(&element.reference_json_path);
            let member = members.iter().position(|m| m.name == name).unwrap_or_default();
            (element.identity_json_path.clone(), member)
        });
        self.model.references.push(ReferenceSite {
            path: path.to_owned(),
            table: scope.table,
            column,
            target_key: 0,
            target_project: target.project_name.clone().unwrap_or_default(),
            target_resource: target.resource_name.clone().unwrap_or_default(),
            target_abstract: false,
            target_changeable: false,
            is_identity_component: false,
            required: scope.required,
            elements: elements.collect(),
            members,
        });
        Node::Reference { site: self.model.references.len() - 1 }
    }

    fn array(&mut self, schema: &Value, path: &str, scope: Scope) -> Option<Node> {
        let items = schema.get("items")?;
        let item_path = format!("{path}[*]");
        let segment = self.naming.collection_segment(path, &item_path, self.table(scope));
        let parent = scope.table;
        let (parent_suffix, mut ordinals) = self.suffixes[parent].clone();
        let parent_table = &self.model.tables[parent];
        let (sql_schema, name) = (parent_table.schema.clone(), format!("{}{segment}", parent_table.name));
        let suffix = format!("{parent_suffix}{segment}");
        let mut key = vec![format!("{}_DocumentId", self.resource.root_table())];
        key.extend(ordinals.iter().cloned());
        key.push("Ordinal".to_owned());
        let mut ordinal = format!("{segment}Ordinal");
        if ordinals.contains(&ordinal) || ordinal == "Ordinal" {
            ordinal = format!("{suffix}Ordinal");
        }
        ordinals.push(ordinal);
        let table =
            self.add_table(sql_schema, name, TableRole::Collection, &item_path, Some(parent), key, (suffix, ordinals));
        let inner = Scope { table, required: true };
        let item = match items.get("type").and_then(Value::as_str) {
            Some("object") if !self.references.contains_key(&item_path) => {
                Item::Object(self.object(items, &item_path, inner))
            }
            Some("array") => {
                self.errors.push(format!(
                    "{}: {item_path}: an array directly within an array is not supported",
                    self.resource.label()
                ));
                return None;
            }
            _ => Item::Value(Box::new(self.member(items, &item_path, inner)?.1)),
        };
        Some(Node::Array(Array { table, item }))
    }

    /// Adds the `_ext` tables of one scope: one per project, beside the scope's row.
    fn extension(&mut self, schema: &Value, path: &str, scope: Scope) -> Option<Node> {
        if path != format!("{}._ext", self.table(scope).scope) {
            self.errors.push(format!(
                "{}: {path}: `_ext` inside an inlined object is not supported, only at the root and in collection items",
                self.resource.label()
            ));
            return None;
        }
        let mut projects = Vec::new();
        for (endpoint, content) in properties_of(schema).collect::<BTreeMap<_, _>>() {
            let project = self.resource.extensions.iter().map(|(project, _)| *project).find(|project| {
                project.schema.project_endpoint_name.eq_ignore_ascii_case(endpoint)
                    || project.schema.project_name.eq_ignore_ascii_case(endpoint)
            });
            let Some(project) = project else {
                self.errors
                    .push(format!("{}: {path}.{endpoint}: no loaded project has this name", self.resource.label()));
                continue;
            };
            projects.push(self.extension_project(project, endpoint, content, path, scope));
        }
        (!projects.is_empty()).then_some(Node::Extension(Extension { projects }))
    }

    fn extension_project(
        &mut self,
        project: &Project,
        endpoint: &str,
        content: &Value,
        path: &str,
        scope: Scope,
    ) -> ExtensionProject {
        let at = format!("{path}.{endpoint}");
        let (suffix, ordinals) = self.suffixes[scope.table].clone();
        let name = format!("{}{suffix}", self.resource.extension_table(project));
        let key = self.model.tables[scope.table].key.clone();
        let schema = sql_schema(&project.schema.project_endpoint_name);
        let table = self.add_table(schema, name, TableRole::Extension, &at, Some(scope.table), key, (suffix, ordinals));
        let object = self.object(content, &at, Scope { table, required: true });
        ExtensionProject {
            endpoint: project.schema.project_endpoint_name.clone(),
            project_name: project.schema.project_name.clone(),
            table,
            object,
        }
    }

    fn table(&self, scope: Scope) -> &Table {
        &self.model.tables[scope.table]
    }

    fn add_column(&mut self, scope: Scope, column: Column) -> usize {
        let columns = &mut self.model.tables[scope.table].columns;
        self.model.columns_by_path.insert(column.path.clone(), (scope.table, columns.len()));
        columns.push(column);
        columns.len() - 1
    }

    fn column_type(&self, schema: &Value, path: &str) -> ColumnType {
        let format = schema.get("format").and_then(Value::as_str);
        match (schema.get("type").and_then(Value::as_str), format) {
            (Some("boolean"), _) => ColumnType::Bool,
            (Some("integer"), Some("int64")) => ColumnType::Int8,
            (Some("integer"), _) => ColumnType::Int4,
            (Some("number"), _) => {
                let info = self.decimals.get(path);
                ColumnType::Decimal {
                    precision: info.and_then(|i| i.total_digits).unwrap_or(18),
                    scale: info.and_then(|i| i.decimal_places).unwrap_or(4),
                }
            }
            (_, Some("date")) => ColumnType::Date,
            (_, Some("time")) => ColumnType::Time,
            (_, Some("date-time")) => ColumnType::Timestamp,
            _ => ColumnType::Text,
        }
    }
}

fn properties_of(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.as_str(), schema))
}

fn required_names(schema: &Value) -> BTreeSet<&str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}
