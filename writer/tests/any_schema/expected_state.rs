//! Expected state: the documents that the database must hold. References name documents by number instead of identity
//! values, so that a rename changes one document only.

use crate::shape::{Leaf, Set};
use millstream_schema::referential::{canonical_number, lower_uri};
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use serde_json::{Map, Value};
use uuid::Uuid;

/// One value of a document.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Value(Value),
    /// The URI of the descriptor with this number.
    Uri(usize),
    /// A reference to the document with this number, and the names of the members for its identity values, in order.
    Reference(usize, Vec<String>),
    Object(Vec<(String, Node)>),
    List(Vec<Node>),
}

/// A document of the expected state.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// Index of its type in the schema set.
    pub(crate) of: usize,
    pub(crate) node: Node,
    /// Set once the document is stored.
    pub(crate) uuid: Option<Uuid>,
    pub(crate) deleted: bool,
}

/// All documents of a schema set.
#[derive(Debug)]
pub(crate) struct ExpectedState<'s> {
    pub(crate) set: &'s Set,
    pub(crate) documents: Vec<Document>,
}

impl ExpectedState<'_> {
    /// Returns the numbers of all documents that are not deleted.
    pub(crate) fn existing(&self) -> Vec<usize> {
        (0..self.documents.len()).filter(|at| !self.documents[*at].deleted).collect()
    }

    /// Returns the body that readers must see.
    pub(crate) fn body(&self, document: usize) -> Value {
        self.render(&self.documents[document].node)
    }

    pub(crate) fn render(&self, node: &Node) -> Value {
        match node {
            Node::Value(value) => value.clone(),
            Node::Uri(descriptor) => Value::String(self.uri(*descriptor)),
            Node::Reference(document, members) => {
                let values = members.iter().cloned().zip(self.identity(*document));
                Value::Object(values.collect())
            }
            Node::Object(members) => {
                Value::Object(members.iter().map(|(name, node)| (name.clone(), self.render(node))).collect())
            }
            Node::List(items) => Value::Array(items.iter().map(|item| self.render(item)).collect()),
        }
    }

    pub(crate) fn uri(&self, descriptor: usize) -> String {
        let body = self.body(descriptor);
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        format!("{}#{}", text("namespace"), text("codeValue"))
    }

    /// Returns the identity values in hash order. Walks identity members only, because other references may be cyclic.
    pub(crate) fn identity(&self, document: usize) -> Vec<Value> {
        let found = &self.documents[document];
        let paths = self.set.types[found.of].identity.iter().map(|element| element.path.trim_start_matches("$."));
        paths.map(|path| self.identity_value(&found.node, path).unwrap_or_default()).collect()
    }

    fn identity_value(&self, node: &Node, path: &str) -> Option<Value> {
        let Node::Object(members) = node else { return None };
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        match &members.iter().find(|(name, _)| name == first)?.1 {
            Node::Reference(target, names) => {
                let position = names.iter().position(|name| name == rest)?;
                self.identity(*target).into_iter().nth(position)
            }
            node => Some(self.render(node)),
        }
    }

    /// Returns the identity in a comparable form.
    pub(crate) fn key(&self, document: usize) -> Vec<String> {
        let of = &self.set.types[self.documents[document].of];
        let values = self.identity(document).into_iter().zip(&of.identity);
        values.map(|(value, element)| key_of(&value, element.leaf)).collect()
    }

    /// Returns whether another document has the same identity under the same type or superclass.
    pub(crate) fn is_taken(&self, document: usize) -> bool {
        let family = |at: usize| {
            let of = self.documents[at].of;
            self.set.types[of].superclass.map_or(of, |(superclass, _)| superclass)
        };
        let key = self.key(document);
        self.existing().into_iter().any(|at| at != document && family(at) == family(document) && self.key(at) == key)
    }

    /// Returns whether a document satisfies its equality constraints.
    pub(crate) fn holds(&self, document: usize) -> bool {
        self.agrees(self.documents[document].of, &self.body(document))
    }

    /// Returns whether a body satisfies the equality constraints of a type.
    pub(crate) fn agrees(&self, of: usize, body: &Value) -> bool {
        self.set.types[of].equal.iter().all(|(a, b)| {
            let shared = shared_lists(a, b);
            let (left, right) = (self.values(body, a), self.values(body, b));
            left.iter().all(|(at, value)| {
                // The values in the same element of every list that both paths share.
                let peers =
                    right.iter().filter(|(other, _)| at[..shared.min(at.len())] == other[..shared.min(other.len())]);
                peers.into_iter().all(|(_, other)| same(value, other) || equal_uris(value, other))
            })
        })
    }

    /// Returns the values at a path, each with the list indexes on the path.
    pub(crate) fn values(&self, body: &Value, path: &str) -> Vec<(Vec<usize>, Value)> {
        let mut found = vec![(Vec::new(), body.clone())];
        for step in path.trim_start_matches("$.").split('.') {
            let name = step.trim_end_matches("[*]");
            found = found.into_iter().filter_map(|(at, value)| Some((at, value.get(name)?.clone()))).collect();
            if step.ends_with("[*]") {
                let items = |(at, value): (Vec<usize>, Value)| {
                    let items = value.as_array().cloned().unwrap_or_default();
                    items.into_iter().enumerate().map(move |(n, item)| ([at.clone(), vec![n]].concat(), item))
                };
                found = found.into_iter().flat_map(items).collect();
            }
        }
        found
    }

    /// Returns whether a node contains a reference to a document.
    pub(crate) fn names(&self, node: &Node, other: usize) -> bool {
        match node {
            Node::Value(_) => false,
            Node::Uri(target) | Node::Reference(target, _) => *target == other,
            Node::Object(members) => members.iter().any(|(_, node)| self.names(node, other)),
            Node::List(items) => items.iter().any(|node| self.names(node, other)),
        }
    }
}

/// Returns the number of lists on the common start of two paths.
fn shared_lists(a: &str, b: &str) -> usize {
    a.split('.').zip(b.split('.')).take_while(|(a, b)| a == b).filter(|(a, _)| a.ends_with("[*]")).count()
}

fn equal_uris(a: &Value, b: &Value) -> bool {
    matches!((a.as_str(), b.as_str()), (Some(a), Some(b)) if a.contains('#') && lower_uri(a) == lower_uri(b))
}

/// Returns a text form that is the same for equal values.
pub(crate) fn key_of(value: &Value, leaf: Leaf) -> String {
    match (value, leaf) {
        (Value::Number(number), _) => canonical_number(number.as_str()).unwrap_or_default(),
        (Value::String(text), Leaf::Descriptor(_)) => lower_uri(text),
        (value, _) => value.to_string(),
    }
}

/// Returns whether two bodies are equal up to the order of members and the spelling of numbers.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => canonical_number(a.as_str()) == canonical_number(b.as_str()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Returns a random spelling of the body that the writer must accept: members in another order, unknown members, nulls,
/// numbers and booleans as text.
pub(crate) fn spelled(body: &Value, rng: &mut StdRng) -> Value {
    match body {
        Value::Number(number) if rng.random_bool(0.1) => Value::String(number.to_string()),
        Value::Bool(flag) if rng.random_bool(0.1) => Value::String(if *flag { "True" } else { "FALSE" }.to_owned()),
        Value::Array(items) => Value::Array(items.iter().map(|item| spelled(item, rng)).collect()),
        Value::Object(members) => {
            let mut out = Map::new();
            let mut members: Vec<_> = members.iter().collect();
            if rng.random_bool(0.3) {
                members.reverse();
            }
            for (name, value) in members {
                let value = match (name.as_str(), value) {
                    // The writer refuses unknown projects, so none is added here.
                    ("_ext", Value::Object(projects)) => {
                        projects.iter().map(|(project, content)| (project.clone(), spelled(content, rng))).collect()
                    }
                    _ => spelled(value, rng),
                };
                out.insert(name.clone(), value);
            }
            if rng.random_bool(0.1) {
                let surplus = if rng.random_bool(0.5) { Value::Null } else { Value::from(rng.next_u32()) };
                out.insert("unknownMember".to_owned(), surplus);
            }
            Value::Object(out)
        }
        other => other.clone(),
    }
}
