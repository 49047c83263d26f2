//! Puts documents into tables by the compiled mapping, apart from the writer and as simply as possible, so that reading
//! is tested against something else than its own mirror image.

use millstream_schema::plan::{
    ColumnType, DescriptorColumn, IdentitySource, Item, Mapping, Node, Object, ReferenceSite, ResourceIx, ResourcePlan,
};
use millstream_schema::referential::{canonical_number, descriptor_id, lower_uri, referential_id};
use millstream_store::connect::Database;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// A document that was put into the tables.
#[derive(Debug, Clone)]
pub(crate) struct Planted {
    pub(crate) document_id: i64,
    pub(crate) uuid: Uuid,
    pub(crate) resource: ResourceIx,
    pub(crate) version: i64,
    pub(crate) body: Value,
}

/// Collects rows and inserts them, one statement per table.
pub(crate) struct Planter {
    mapping: Arc<Mapping>,
    next_id: i64,
    /// ReferentialId → document, the aliases under abstract types too.
    by_referential_id: HashMap<Uuid, i64>,
    identities: HashMap<i64, Vec<String>>,
    /// Descriptor documents → their URI as stored.
    pending: BTreeMap<String, Vec<Value>>,
    pub(crate) planted: Vec<Planted>,
}

/// Rows of one document: (table, ordinals) → column → value.
struct Rows<'m> {
    plan: &'m ResourcePlan,
    rows: Vec<(usize, Vec<i32>, Map<String, Value>)>,
    /// The row that each table is at.
    current: HashMap<usize, usize>,
    ordinals: Vec<i32>,
    edges: BTreeMap<i64, bool>,
}

impl Planter {
    pub(crate) fn new(mapping: Arc<Mapping>) -> Self {
        Self {
            mapping,
            next_id: 1_000,
            by_referential_id: HashMap::new(),
            identities: HashMap::new(),
            pending: BTreeMap::new(),
            planted: Vec::new(),
        }
    }

    /// Adds a document. What it refers to must have been added before.
    pub(crate) fn plant(&mut self, resource: ResourceIx, body: Value) -> Planted {
        let mapping = Arc::clone(&self.mapping);
        let plan = mapping.resource(resource);
        self.next_id += 1;
        let planted = Planted {
            document_id: self.next_id,
            uuid: Uuid::from_u128(0xFEED_0000_0000_4000_8000_0000_0000_0000 + u128::from(self.next_id.unsigned_abs())),
            resource,
            version: self.next_id * 10,
            body,
        };
        let mut rows = Rows::new(plan);
        rows.enter(0);
        let object = planted.body.as_object().expect("a body is an object");
        self.object(&mut rows, &plan.body, object);
        if plan.is_descriptor {
            let uri = format!("{}#{}", text(&object["namespace"]), text(&object["codeValue"]));
            rows.set(0, column(plan, 0, DescriptorColumn::Uri.name()), json!(uri));
            rows.set(0, column(plan, 0, DescriptorColumn::UriLower.name()), json!(lower_uri(&uri)));
            rows.set(0, column(plan, 0, DescriptorColumn::ResourceKeyId.name()), json!(plan.key));
        }
        self.identify(&rows, &planted);
        self.keep(rows, &planted);
        self.planted.push(planted.clone());
        planted
    }

    fn object<'m>(&mut self, rows: &mut Rows<'m>, object: &'m Object, body: &Map<String, Value>) {
        for member in &object.members {
            if let Some(value) = body.get(&member.name) {
                self.node(rows, &member.node, value);
            }
        }
    }

    fn node<'m>(&mut self, rows: &mut Rows<'m>, node: &'m Node, value: &Value) {
        match node {
            Node::Scalar { table, column, ty } => rows.set(*table, *column, stored(*ty, value)),
            Node::Descriptor { site } => {
                let site = &rows.plan.descriptors[*site];
                let id = descriptor_id(&site.target_project, &site.target_resource, text(value));
                let target = self.by_referential_id.get(&id);
                let target = target.unwrap_or_else(|| panic!("no descriptor {value} for {}", site.path));
                rows.set(site.table, site.column, json!(target));
            }
            Node::Reference { site } => {
                let site = &rows.plan.references[*site];
                let target = self.target(site, value);
                rows.set(site.table, site.column, json!(target));
                *rows.edges.entry(target).or_insert(false) |= site.is_identity_component;
            }
            Node::Object(object) => self.object(rows, object, value.as_object().expect("an object")),
            Node::Array(array) => {
                for (ordinal, item) in value.as_array().expect("an array").iter().enumerate() {
                    rows.ordinals.push(i32::try_from(ordinal).expect("few items"));
                    rows.enter(array.table);
                    match &array.item {
                        Item::Object(object) => self.object(rows, object, item.as_object().expect("an object")),
                        Item::Value(node) => self.node(rows, node, item),
                    }
                    rows.ordinals.pop();
                }
            }
            Node::Extension(extension) => {
                for project in &extension.projects {
                    if let Some(body) = value.get(&project.endpoint) {
                        rows.enter(project.table);
                        self.object(rows, &project.object, body.as_object().expect("an object"));
                    }
                }
            }
        }
    }

    fn target(&self, site: &ReferenceSite, reference: &Value) -> i64 {
        let values: Vec<(&str, String)> = site
            .elements
            .iter()
            .map(|(path, member)| {
                let member = &site.members[*member];
                let value = canonical(member.ty, &reference[&member.name]);
                let lower = path.ends_with("Descriptor");
                (path.as_str(), if lower { lower_uri(&value) } else { value })
            })
            .collect();
        let elements = values.iter().map(|(path, value)| (*path, value.as_str()));
        let id = referential_id(&site.target_project, &site.target_resource, elements);
        *self.by_referential_id.get(&id).unwrap_or_else(|| panic!("{} is unresolved: {reference}", site.path))
    }

    fn identify(&mut self, rows: &Rows<'_>, planted: &Planted) {
        let plan = rows.plan;
        let root = &rows.rows[0].2;
        let id_in = |column: usize| root[&plan.tables[0].columns[column].name].as_i64().expect("an id");
        let identity = &plan.identity;
        let values: Vec<String> = identity
            .elements
            .iter()
            .map(|element| match element.source {
                IdentitySource::Column { column } => canonical(element.ty, &root[&plan.tables[0].columns[column].name]),
                IdentitySource::Descriptor { site } => {
                    self.identities[&id_in(plan.descriptors[site].column)][0].clone()
                }
                IdentitySource::Reference { site, position } => {
                    self.identities[&id_in(plan.references[site].column)][position].clone()
                }
            })
            .collect();
        let lowered: Vec<String> = identity
            .elements
            .iter()
            .zip(&values)
            .map(|(element, value)| if element.lower_case { lower_uri(value) } else { value.clone() })
            .collect();
        let paths = identity.elements.iter().map(|element| element.path.as_str()).collect();
        let mut names = vec![(plan.key, &plan.project_name, &plan.resource_name, paths)];
        if let Some(above) = &identity.superclass {
            let paths: Vec<&str> = above.paths.iter().map(String::as_str).collect();
            names.push((above.key, &above.project_name, &above.resource_name, paths));
        }
        for (key, project, resource, paths) in names {
            let elements = paths.into_iter().zip(lowered.iter().map(String::as_str));
            let id = referential_id(project, resource, elements);
            let previous = self.by_referential_id.insert(id, planted.document_id);
            assert!(previous.is_none(), "{resource} {values:?} exists already");
            self.row(
                r#""dms"."ReferentialIdentity""#,
                json!({"ReferentialId": id, "DocumentId": planted.document_id, "ResourceKeyId": key, "IdentityValues": values}),
            );
        }
        self.identities.insert(planted.document_id, values);
    }

    fn keep(&mut self, rows: Rows<'_>, planted: &Planted) {
        let id = planted.document_id;
        let at = "2031-08-20T09:15:00.25Z";
        self.row(
            r#""dms"."Document""#,
            json!({"DocumentId": id, "DocumentUuid": planted.uuid, "ResourceKeyId": rows.plan.key,
                   "ContentVersion": planted.version, "IdentityVersion": planted.version,
                   "LastModifiedAt": at, "CreatedAt": at, "ContentHash": "\\x00"}),
        );
        if rows.plan.changeable {
            self.row(r#""dms"."IdentityLock""#, json!({"DocumentId": id}));
        }
        for (child, flag) in &rows.edges {
            let edge = json!({"ParentDocumentId": id, "ChildDocumentId": child, "IsIdentityComponent": flag});
            self.row(r#""dms"."ReferenceEdge""#, edge);
        }
        for (table, ordinals, mut values) in rows.rows {
            let table = &rows.plan.tables[table];
            let keys = std::iter::once(json!(id)).chain(ordinals.iter().map(|ordinal| json!(ordinal)));
            values.extend(table.key_columns.iter().cloned().zip(keys));
            self.row(&table.qualified, Value::Object(values));
        }
    }

    fn row(&mut self, table: &str, row: Value) {
        self.pending.entry(table.to_owned()).or_default().push(row);
    }

    /// Inserts what was added since the last time. Foreign keys are not checked: the order of the tables is not kept.
    pub(crate) async fn flush(&mut self, database: &Database) {
        let mut client = database.get().await.expect("connected");
        let transaction = client.transaction().await.expect("begun");
        let settings = "SET LOCAL session_replication_role = replica; SET LOCAL TimeZone = 'UTC'";
        transaction.batch_execute(settings).await.expect("superuser");
        for (table, rows) in std::mem::take(&mut self.pending) {
            let sql = format!("INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, $1::json)");
            let inserted = transaction.execute(&sql, &[&Value::Array(rows)]).await;
            inserted.unwrap_or_else(|error| panic!("{table}: {error:?}"));
        }
        transaction.commit().await.expect("committed");
    }
}

impl<'m> Rows<'m> {
    fn new(plan: &'m ResourcePlan) -> Self {
        Self { plan, rows: Vec::new(), current: HashMap::new(), ordinals: Vec::new(), edges: BTreeMap::new() }
    }

    fn enter(&mut self, table: usize) {
        self.current.insert(table, self.rows.len());
        self.rows.push((table, self.ordinals.clone(), Map::new()));
    }

    fn set(&mut self, table: usize, column: usize, value: Value) {
        let name = self.plan.tables[table].columns[column].name.clone();
        self.rows[self.current[&table]].2.insert(name, value);
    }
}

fn column(plan: &ResourcePlan, table: usize, name: &str) -> usize {
    plan.tables[table].columns.iter().position(|column| column.name == name).unwrap_or_else(|| panic!("no {name}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text"))
}

/// As the column takes it: whole numbers without a fraction.
fn stored(ty: ColumnType, value: &Value) -> Value {
    match (ty, value) {
        (ColumnType::Int4 | ColumnType::Int8, Value::Number(number)) => {
            json!(canonical_number(&number.to_string()).expect("a number"))
        }
        _ => value.clone(),
    }
}

/// As it is hashed.
fn canonical(ty: ColumnType, value: &Value) -> String {
    match (ty, value) {
        (ColumnType::Int4 | ColumnType::Int8 | ColumnType::Decimal { .. }, Value::Number(number)) => {
            canonical_number(&number.to_string()).expect("a number")
        }
        (_, Value::String(text)) => text.clone(),
        _ => value.to_string(),
    }
}
