//! Brute-force oracle of renames.
//!
//! Works only on the JSON of all documents and the schema files. It resolves every reference object to the document
//! that it names, replaces the renamed body, and then rewrites every reference object from the identity of its target
//! until nothing changes. ReferentialIds are hashed from the resulting JSON. The oracle uses nothing of the writer, the
//! compiled plans or the tables.

use super::comparison::without_server_members;
use super::shapes::{Reference, Shape, Shapes};
use super::snapshot::Snapshot;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

const NAMESPACE: Uuid = Uuid::from_u128(0xedf1_edf1_3df1_3df1_3df1_3df1_edf1_edf1);

/// All documents with their resolved references.
pub(crate) struct Oracle<'a> {
    documents: Vec<Document<'a>>,
    by_uuid: HashMap<Uuid, usize>,
    by_referential_id: HashMap<Uuid, usize>,
}

struct Document<'a> {
    uuid: Uuid,
    endpoint: (String, String),
    shape: &'a Shape,
    body: Value,
    links: Vec<Link<'a>>,
}

/// A reference object and its target.
struct Link<'a> {
    reference: &'a Reference,
    pointer: String,
    target: usize,
}

impl<'a> Oracle<'a> {
    /// Builds the oracle from a snapshot.
    pub(crate) fn of(snapshot: &Snapshot, shapes: &'a Shapes) -> Self {
        let documents: Vec<Document<'a>> = snapshot
            .documents()
            .map(|(uuid, seen)| Document {
                uuid,
                endpoint: seen.endpoint.clone(),
                shape: shapes.of(&seen.endpoint.0, &seen.endpoint.1),
                body: without_server_members(&seen.json()),
                links: Vec::new(),
            })
            .collect();
        let by_uuid = documents.iter().enumerate().map(|(at, document)| (document.uuid, at)).collect();
        let mut by_referential_id = HashMap::new();
        for (at, document) in documents.iter().enumerate() {
            for id in document.referential_ids() {
                assert_eq!(
                    by_referential_id.insert(id, at),
                    None,
                    "two documents have the identity of {}",
                    document.uuid
                );
            }
        }
        let mut oracle = Self { documents, by_uuid, by_referential_id };
        for at in 0..oracle.documents.len() {
            oracle.documents[at].links = oracle.links_of(at);
        }
        oracle
    }

    fn links_of(&self, at: usize) -> Vec<Link<'a>> {
        let document = &self.documents[at];
        let mut links = Vec::new();
        for reference in &document.shape.references {
            let mut pointers = Vec::new();
            find_objects(&document.body, &reference.object, String::new(), &mut pointers);
            for pointer in pointers {
                let object = document.body.pointer(&pointer).expect("the object exists");
                let elements = reference.members.iter().map(|(path, member)| (path.as_str(), &object[member.as_str()]));
                let id = referential_id(&reference.project, &reference.resource, elements);
                let target = self.by_referential_id.get(&id);
                let target = *target
                    .unwrap_or_else(|| panic!("{} {pointer} names an unknown document: {object}", document.uuid));
                links.push(Link { reference, pointer, target });
            }
        }
        links
    }

    /// Replaces a body and propagates the change. Returns the documents whose body changed.
    pub(crate) fn replace(&mut self, uuid: Uuid, body: Value) -> BTreeSet<Uuid> {
        let before: Vec<Value> = self.documents.iter().map(|document| document.body.clone()).collect();
        let at = self.by_uuid[&uuid];
        self.documents[at].body = body;
        self.documents[at].links = self.links_of(at);
        while self.write_references() > 0 {}
        let changed = self.documents.iter().zip(before).filter(|(document, before)| document.body != *before);
        changed.map(|(document, _)| document.uuid).collect()
    }

    /// Rewrites every reference object from the identity of its target; returns the number of changed members.
    fn write_references(&mut self) -> usize {
        let mut changes = Vec::new();
        for (at, document) in self.documents.iter().enumerate() {
            for link in &document.links {
                let object = document.body.pointer(&link.pointer).expect("the object exists");
                let mut written = BTreeSet::new();
                for (path, member) in &link.reference.members {
                    let value = self.documents[link.target].identity_value(path);
                    // If several target paths share a member, the first one determines its value.
                    if written.insert(member) && object[member.as_str()] != *value {
                        changes.push((at, format!("{}/{member}", link.pointer), value.clone()));
                    }
                }
            }
        }
        for (at, pointer, value) in &changes {
            let member = self.documents[*at].body.pointer_mut(pointer).expect("the member exists");
            *member = value.clone();
        }
        changes.len()
    }

    /// Returns the expected body of a document.
    pub(crate) fn body(&self, uuid: Uuid) -> &Value {
        &self.documents[self.by_uuid[&uuid]].body
    }

    /// Returns how many documents a query by this field must find, for every type that has the field.
    pub(crate) fn matches(&self, field: &str, value: &str) -> BTreeMap<(String, String), u64> {
        let mut counts = BTreeMap::new();
        for document in self.documents.iter().filter(|document| document.shape.query_paths.contains_key(field)) {
            let count: &mut u64 = counts.entry(document.endpoint.clone()).or_default();
            *count += u64::from(document.shape.matches(&document.body, field, value));
        }
        counts
    }

    /// Returns the expected ReferentialIds of each document.
    pub(crate) fn referential_ids(&self) -> BTreeMap<Uuid, BTreeSet<Uuid>> {
        self.documents.iter().map(|document| (document.uuid, document.referential_ids().collect())).collect()
    }

    /// Returns the documents of a type with their number of direct referrers, most referrers first.
    pub(crate) fn hubs(&self, endpoint: &str) -> Vec<(Uuid, usize)> {
        let mut referrers: HashMap<usize, Vec<usize>> = HashMap::new();
        for (at, document) in self.documents.iter().enumerate() {
            for link in &document.links {
                referrers.entry(link.target).or_default().push(at);
            }
        }
        let of_type = self.documents.iter().enumerate().filter(|(_, document)| document.endpoint.1 == endpoint);
        let mut hubs: Vec<(Uuid, usize)> =
            of_type.map(|(at, document)| (document.uuid, referrers.get(&at).map_or(0, Vec::len))).collect();
        hubs.sort_by_key(|(uuid, referrers)| (std::cmp::Reverse(*referrers), *uuid));
        hubs
    }
}

impl Document<'_> {
    /// Returns the value at an identity path of this document or of its superclass.
    fn identity_value(&self, path: &str) -> &Value {
        let renamed = self.shape.superclass.as_ref().and_then(|superclass| superclass.identity_path.as_deref());
        let path = if renamed == Some(path) { self.shape.identity_paths[0].as_str() } else { path };
        value_at(&self.body, path)
    }

    fn referential_ids(&self) -> impl Iterator<Item = Uuid> {
        let shape = self.shape;
        if shape.is_descriptor {
            let part =
                |name: &str| self.body[name].as_str().expect("a descriptor has a namespace and a code").to_owned();
            let uri = Value::String(format!("{}#{}", part("namespace"), part("codeValue")));
            let own = referential_id(&shape.project, &shape.resource, [("$.descriptor", &uri)]);
            return [Some(own), None].into_iter().flatten();
        }
        let elements = || shape.identity_paths.iter().map(|path| (path.as_str(), value_at(&self.body, path)));
        let own = referential_id(&shape.project, &shape.resource, elements());
        let alias = shape.superclass.as_ref().map(|superclass| {
            let renamed = |path| superclass.identity_path.as_deref().unwrap_or(path);
            let elements = elements().map(|(path, value)| (renamed(path), value));
            referential_id(&superclass.project, &superclass.resource, elements)
        });
        [Some(own), alias].into_iter().flatten()
    }
}

fn value_at<'v>(body: &'v Value, path: &str) -> &'v Value {
    let found = path.split('.').skip(1).try_fold(body, |value, name| value.get(name));
    found.unwrap_or_else(|| panic!("no identity value at {path} in {body}"))
}

fn find_objects(value: &Value, segments: &[String], pointer: String, found: &mut Vec<String>) {
    let Some((segment, rest)) = segments.split_first() else {
        found.push(pointer);
        return;
    };
    if let Some(name) = segment.strip_suffix("[*]") {
        for (at, item) in value.get(name).and_then(Value::as_array).into_iter().flatten().enumerate() {
            find_objects(item, rest, format!("{pointer}/{name}/{at}"), found);
        }
    } else if let Some(below) = value.get(segment) {
        find_objects(below, rest, format!("{pointer}/{segment}"), found);
    }
}

fn referential_id<'v>(project: &str, resource: &str, elements: impl IntoIterator<Item = (&'v str, &'v Value)>) -> Uuid {
    let elements = elements.into_iter().map(|(path, value)| {
        let text = match value {
            Value::String(text) if path.ends_with("Descriptor") || path == "$.descriptor" => text.to_lowercase(),
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => panic!("{value} at {path} cannot be part of an identity"),
        };
        format!("{path}={text}")
    });
    let name = format!("{project}{resource}{}", elements.collect::<Vec<_>>().join("#"));
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_are_those_of_the_published_examples() {
        let school = json!(123);
        let id = referential_id("Ed-Fi", "School", [("$.schoolId", &school)]);
        assert_eq!(id.to_string(), "3af6ad85-1212-5833-be6f-f8df6f4d6402");
        let uri = json!("uri://example.org/GradeLevelDescriptor#Tenth Grade");
        let id = referential_id("Ed-Fi", "GradeLevelDescriptor", [("$.descriptor", &uri)]);
        assert_eq!(id.to_string(), "4b54ef66-03ac-5f6d-b36d-19dd85212001");
    }
}
