//! Generates documents for a schema set, each referring to earlier ones only, and edits and renames of them.

use crate::expected_state::{Document, ExpectedState, Node, key_of};
use crate::shape::{Content, Field, Kind, Leaf, Scalar, Set, Shape};
use jiff::{Timestamp, ToSpan};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Attempts per document. Some combinations of references cannot satisfy the equality constraints.
const ATTEMPTS: usize = 12;

/// Generator of documents.
pub(crate) struct Filler<'s> {
    pub(crate) rng: StdRng,
    pub(crate) state: ExpectedState<'s>,
    /// Incremented with every value, so that values are unique.
    counter: i64,
    /// Probability of an optional member.
    richness: f64,
    /// References lead to documents below this number, which are stored before.
    before: usize,
}

impl<'s> Filler<'s> {
    /// Generates a few documents of every type.
    pub(crate) fn fill(set: &'s Set, seed: u64) -> Self {
        let state = ExpectedState { set, documents: Vec::new() };
        let rng = StdRng::seed_from_u64(seed.wrapping_add(1));
        let mut filler = Self { rng, state, counter: 0, richness: 0.6, before: 0 };
        for (of, found) in set.types.iter().enumerate() {
            let count = if found.kind == Kind::Abstract { 0 } else { filler.rng.random_range(2..=5) };
            for _ in 0..count {
                if let Some(node) = filler.attempt(of, None) {
                    filler.state.documents.push(Document { of, node, uuid: None, deleted: false });
                }
            }
        }
        filler
    }

    /// Generates another body for a document with the same identity.
    pub(crate) fn edit(&mut self, document: usize) -> Option<Node> {
        self.attempt(self.state.documents[document].of, Some((document, false)))
    }

    /// Generates the document with an unused identity and otherwise unchanged.
    pub(crate) fn rename(&mut self, document: usize) -> Option<Node> {
        self.attempt(self.state.documents[document].of, Some((document, true)))
    }

    /// Attempts to generate a body: for a new document, or for an existing one.
    fn attempt(&mut self, of: usize, existing: Option<(usize, bool)>) -> Option<Node> {
        for attempt in 0..ATTEMPTS {
            self.richness = if attempt < ATTEMPTS / 2 { 0.6 } else { 0.2 };
            let Some(node) = self.candidate(of, existing) else { continue };
            // Check the candidate in the state with the candidate stored.
            let at = existing.map_or(self.state.documents.len(), |(document, _)| document);
            let candidate = Document { of, node: node.clone(), uuid: None, deleted: false };
            let before = match existing {
                Some((document, _)) => Some(std::mem::replace(&mut self.state.documents[document], candidate)),
                None => {
                    self.state.documents.push(candidate);
                    None
                }
            };
            let is_valid = self.state.holds(at) && !self.state.is_taken(at);
            match before {
                Some(before) => self.state.documents[at] = before,
                None => drop(self.state.documents.pop()),
            }
            if is_valid {
                return Some(node);
            }
        }
        None
    }

    fn candidate(&mut self, of: usize, existing: Option<(usize, bool)>) -> Option<Node> {
        let found = &self.state.set.types[of];
        self.before = self.state.documents.len();
        if found.kind == Kind::Descriptor {
            return Some(self.descriptor(existing.map(|(document, _)| document)));
        }
        let is_identity = |name: &str| {
            let at = format!("$.{name}");
            found.identity.iter().any(|e| e.path == at || e.path.starts_with(&format!("{at}.")))
        };
        let kept = |name: &str| -> Option<Node> {
            let (document, rename) = existing?;
            let Node::Object(members) = &self.state.documents[document].node else { return None };
            (rename != is_identity(name))
                .then(|| members.iter().find(|(n, _)| n == name).map(|(_, node)| node.clone()))?
        };
        let rename = existing.is_some_and(|(_, rename)| rename);
        let mut plan: Vec<(&Field, Option<Node>)> = Vec::new();
        for field in &found.body.fields {
            plan.push((field, kept(&field.name)));
        }
        let ext = existing.filter(|_| rename).and(kept("_ext"));
        let mut members = Vec::new();
        for (field, kept) in plan {
            let node = match kept {
                Some(node) => Some(node),
                None if rename && !is_identity(&field.name) => None,
                None => self.field(field)?,
            };
            members.extend(node.map(|node| (field.name.clone(), node)));
        }
        match rename {
            true => members.extend(ext.map(|ext| ("_ext".to_owned(), ext))),
            false => self.extend(&found.body, &mut members)?,
        }
        Some(Node::Object(members))
    }

    /// Generates a descriptor. Namespace and code of an existing one do not change.
    fn descriptor(&mut self, existing: Option<usize>) -> Node {
        self.counter += 1;
        let (namespace, code) = match existing.map(|document| self.state.body(document)) {
            Some(body) => (body["namespace"].clone(), body["codeValue"].clone()),
            None => (json!("uri://Example.org/Ünïted"), json!(format!("Code {} È", self.counter))),
        };
        let short = json!(format!("short {}", self.counter));
        let members = [("namespace", namespace), ("codeValue", code), ("shortDescription", short)];
        Node::Object(members.into_iter().map(|(name, value)| (name.to_owned(), Node::Value(value))).collect())
    }

    /// Returns `None` if a required field cannot be generated, `Some(None)` if the field is left out.
    fn field(&mut self, field: &Field) -> Option<Option<Node>> {
        if !field.required && !self.rng.random_bool(self.richness) {
            return Some(None);
        }
        let node = match &field.content {
            Content::Leaf(leaf) => self.leaf(*leaf),
            Content::Reference(reference) => {
                let target = self.document_of(reference.target);
                target.map(|document| Node::Reference(document, reference.members.clone()))
            }
            Content::Object(shape) => self.object(shape)?,
            Content::List(items, unique) => self.list(items, unique)?,
            Content::Bare(leaf, unique) => {
                let count = self.rng.random_range(1..=3);
                let items: Vec<Node> = (0..count).filter_map(|_| self.leaf(*leaf)).collect();
                let keys = |item: &Node| vec![key_of(&self.state.render(item), *leaf)];
                let items = if *unique { distinct(items, keys) } else { items };
                (!items.is_empty()).then_some(Node::List(items))
            }
        };
        if node.is_none() && field.required { None } else { Some(node) }
    }

    fn object(&mut self, shape: &Shape) -> Option<Option<Node>> {
        let mut members = Vec::new();
        for field in &shape.fields {
            members.extend(self.field(field)?.map(|node| (field.name.clone(), node)));
        }
        self.extend(shape, &mut members)?;
        Some((!members.is_empty()).then_some(Node::Object(members)))
    }

    fn extend(&mut self, shape: &Shape, members: &mut Vec<(String, Node)>) -> Option<()> {
        let mut projects = Vec::new();
        for (project, content) in &shape.extensions {
            if self.rng.random_bool(self.richness)
                && let Some(Some(node)) = self.object(content)
            {
                projects.push((self.state.set.projects[*project].endpoint.clone(), node));
            }
        }
        if !projects.is_empty() {
            members.push(("_ext".to_owned(), Node::Object(projects)));
        }
        Some(())
    }

    fn list(&mut self, shape: &Shape, unique: &[String]) -> Option<Option<Node>> {
        let mut items = Vec::new();
        for _ in 0..self.rng.random_range(1..=4) {
            items.extend(self.object(shape)?);
        }
        if !unique.is_empty() {
            let leaf = |name: &str| match shape.fields.iter().find(|f| f.name == name).map(|f| &f.content) {
                Some(Content::Leaf(leaf)) => *leaf,
                _ => Leaf::Scalar(Scalar::Bool),
            };
            let keys = |item: &Node| {
                let item = self.state.render(item);
                unique.iter().map(|name| key_of(item.get(name).unwrap_or(&Value::Null), leaf(name))).collect()
            };
            items = distinct(items, keys);
        }
        Some((!items.is_empty()).then_some(Node::List(items)))
    }

    fn document_of(&mut self, target: usize) -> Option<usize> {
        let instances = self.state.set.instances(target);
        let fits = |at: &usize| instances.contains(&self.state.documents[*at].of) && *at < self.before;
        let documents: Vec<usize> = self.state.existing().into_iter().filter(fits).collect();
        documents.choose(&mut self.rng).copied()
    }

    fn leaf(&mut self, leaf: Leaf) -> Option<Node> {
        match leaf {
            Leaf::Descriptor(of) => self.document_of(of).map(Node::Uri),
            Leaf::Scalar(scalar) => Some(Node::Value(self.scalar(scalar))),
        }
    }

    fn scalar(&mut self, scalar: Scalar) -> Value {
        self.counter += 1;
        let n = self.counter;
        match scalar {
            Scalar::Text(_) => {
                let word = ["Zoë ", "#'=", "\"\\/", "a\nb", "Ünï", "", "{}$1", "%_ "].choose(&mut self.rng);
                json!(format!("{}{n}", word.copied().unwrap_or_default()))
            }
            Scalar::Short => json!(n % 65_536 - 32_768),
            Scalar::Int => json!((n * 65_537) % i64::from(i32::MAX) - 1_000_000),
            Scalar::Long => json!(n * 1_000_003_000_007 - 500_000_000_000_000),
            Scalar::Decimal(digits) => {
                let (_, places) = digits.unwrap_or((18, 4));
                let text = match places {
                    0 => n.to_string(),
                    _ => format!("{}.{:0<width$}", n / 3, n % 3, width = usize::from(places)),
                };
                serde_json::from_str(&text).unwrap_or_default()
            }
            Scalar::Bool => json!(self.rng.random_bool(0.5)),
            Scalar::Date => json!(jiff::civil::date(1900, 1, 1).saturating_add(n.days()).to_string()),
            Scalar::Time => json!(format!("{:02}:{:02}:{:02}", n / 3600 % 24, n / 60 % 60, n % 60)),
            Scalar::Timestamp => {
                let at = Timestamp::from_second(n * 86_399 - 1_000_000_000).unwrap_or_default();
                json!(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
            }
        }
    }
}

/// Removes items whose key equals that of an earlier one.
fn distinct(items: Vec<Node>, key: impl Fn(&Node) -> Vec<String>) -> Vec<Node> {
    let mut seen = BTreeSet::new();
    items.into_iter().filter(|item| seen.insert(key(item))).collect()
}
