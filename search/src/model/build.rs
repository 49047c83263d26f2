//! Derivation of a type's fields from its compiled plan: one walk of the body tree.

use super::types::{Collection, CollectionIx, Field, FieldIx, FieldKind, MemberKind, SearchResource, Shape};
use millstream_schema::plan::{Array, ColumnType, Item, Node, Object, ReferenceSite, ResourceIx, ResourcePlan};
use std::collections::BTreeMap;

/// Derives the fields of one type.
pub(super) fn resource(ix: ResourceIx, plan: &ResourcePlan) -> SearchResource {
    let mut builder = Builder { plan, fields: Vec::new(), collections: Vec::new() };
    let server = [("id", FieldKind::Id), ("_lastModifiedDate", FieldKind::DateTime)];
    let mut members: Vec<(String, MemberKind)> =
        server.map(|(name, kind)| (name.to_owned(), builder.field(name, kind, None))).into();
    members.extend(builder.members(&plan.body, Scope { path: "", collection: None }));
    let paths = (0..).zip(&builder.fields).map(|(at, field)| (field.path.to_ascii_lowercase(), FieldIx(at)));
    let paths: BTreeMap<String, FieldIx> = paths.collect();
    let query_fields = plan.query_fields.iter().map(|(name, field)| {
        let fields = field.paths.iter().filter_map(|path| paths.get(&dotted(&path.path).to_ascii_lowercase()).copied());
        (name.clone(), fields.collect())
    });
    let identity = match plan.identity.elements.as_slice() {
        [element] => paths.get(&dotted(&element.path).to_ascii_lowercase()).copied(),
        _ => None,
    };
    SearchResource {
        ix,
        identity,
        key: plan.key,
        project_endpoint: plan.project_endpoint.clone(),
        endpoint: plan.endpoint.clone(),
        is_descriptor: plan.is_descriptor,
        query_fields: query_fields.collect(),
        shape: Shape::new(members),
        fields: builder.fields,
        collections: builder.collections,
        paths,
    }
}

/// Converts `$.a.b` to `a.b`.
fn dotted(path: &str) -> &str {
    path.strip_prefix("$.").unwrap_or(path)
}

struct Builder<'a> {
    plan: &'a ResourcePlan,
    fields: Vec<Field>,
    collections: Vec<Collection>,
}

/// The current place of the walk.
#[derive(Clone, Copy)]
struct Scope<'a> {
    /// Dotted path of the object; empty at the top.
    path: &'a str,
    collection: Option<CollectionIx>,
}

impl Scope<'_> {
    fn below(self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

impl Builder<'_> {
    fn members(&mut self, object: &Object, scope: Scope<'_>) -> Vec<(String, MemberKind)> {
        let members = object.members.iter().map(|member| {
            let path = scope.below(&member.name);
            (member.name.clone(), self.node(&member.node, Scope { path: &path, ..scope }))
        });
        members.collect()
    }

    fn object(&mut self, object: &Object, scope: Scope<'_>) -> MemberKind {
        MemberKind::Object(Shape::new(self.members(object, scope)))
    }

    fn node(&mut self, node: &Node, scope: Scope<'_>) -> MemberKind {
        match node {
            Node::Scalar { ty, .. } => self.field(scope.path, kind(*ty), scope.collection),
            Node::Descriptor { .. } => self.field(scope.path, FieldKind::Descriptor, scope.collection),
            Node::Reference { site } => self.reference(&self.plan.references[*site], scope),
            Node::Object(object) => self.object(object, scope),
            Node::Array(array) => self.array(array, scope),
            Node::Extension(extension) => {
                let projects = extension.projects.iter().map(|project| {
                    let path = scope.below(&project.endpoint);
                    (project.endpoint.clone(), self.object(&project.object, Scope { path: &path, ..scope }))
                });
                MemberKind::Object(Shape::new(projects.collect()))
            }
        }
    }

    fn reference(&mut self, site: &ReferenceSite, scope: Scope<'_>) -> MemberKind {
        let members = site.members.iter().map(|member| {
            // An identity stores a descriptor URI as text.
            let kind = if member.lower_case { FieldKind::Descriptor } else { kind(member.ty) };
            (member.name.clone(), self.field(&scope.below(&member.name), kind, scope.collection))
        });
        MemberKind::Object(Shape::new(members.collect()))
    }

    fn array(&mut self, array: &Array, scope: Scope<'_>) -> MemberKind {
        let ix = CollectionIx(index(self.collections.len()));
        self.collections.push(Collection { path: scope.path.to_owned(), parent: scope.collection });
        let inside = Scope { collection: Some(ix), ..scope };
        let element = match &array.item {
            Item::Object(object) => self.object(object, inside),
            Item::Value(node) => self.node(node, inside),
        };
        MemberKind::Collection(ix, Box::new(element))
    }

    fn field(&mut self, path: &str, kind: FieldKind, collection: Option<CollectionIx>) -> MemberKind {
        let ix = FieldIx(index(self.fields.len()));
        self.fields.push(Field { path: path.to_owned(), kind, collection });
        MemberKind::Field(ix)
    }
}

/// Converts an index. A table has at most 1,600 columns and a type some dozens of tables, so 16 bits suffice.
fn index(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

fn kind(ty: ColumnType) -> FieldKind {
    match ty {
        ColumnType::Text => FieldKind::Text,
        ColumnType::Int4 | ColumnType::Int8 => FieldKind::Integer,
        ColumnType::Decimal { precision, scale } => FieldKind::Decimal { precision, scale },
        ColumnType::Bool => FieldKind::Boolean,
        ColumnType::Date => FieldKind::Date,
        ColumnType::Time => FieldKind::Time,
        ColumnType::Timestamp => FieldKind::DateTime,
        ColumnType::Document => FieldKind::Integer,
        ColumnType::Descriptor => FieldKind::Descriptor,
    }
}
