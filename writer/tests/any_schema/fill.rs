//! Documents that fit a set, in an order in which each names earlier ones only; and what may become of them.

use crate::shape::{Content, Field, Kind, Leaf, Scalar, Set, Shape};
use crate::world::{Document, Node, World, key_of};
use jiff::{Timestamp, ToSpan};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Tries at a document before it is given up: not every set of references that must agree can.
const TRIES: usize = 12;

/// Makes documents.
pub(crate) struct Filler<'s> {
    pub(crate) rng: StdRng,
    pub(crate) world: World<'s>,
    /// Grows with every value, so that values that must differ do.
    counter: i64,
    /// How probably an optional member is there.
    richness: f64,
    /// References lead to documents below this number: those that are stored before.
    before: usize,
}

impl<'s> Filler<'s> {
    /// A few documents of every type.
    pub(crate) fn fill(set: &'s Set, seed: u64) -> Self {
        let world = World { set, documents: Vec::new() };
        let rng = StdRng::seed_from_u64(seed.wrapping_add(1));
        let mut filler = Self { rng, world, counter: 0, richness: 0.6, before: 0 };
        for (of, found) in set.types.iter().enumerate() {
            let count = if found.kind == Kind::Abstract { 0 } else { filler.rng.random_range(2..=5) };
            for _ in 0..count {
                if let Some(node) = filler.attempt(of, None) {
                    filler.world.documents.push(Document { of, node, uuid: None, deleted: false });
                }
            }
        }
        filler
    }

    /// Another body for a document, with the same identity.
    pub(crate) fn edit(&mut self, document: usize) -> Option<Node> {
        self.attempt(self.world.documents[document].of, Some((document, false)))
    }

    /// The document with another identity that nobody has, all else as it was.
    pub(crate) fn rename(&mut self, document: usize) -> Option<Node> {
        self.attempt(self.world.documents[document].of, Some((document, true)))
    }

    /// Tries at a body: a new one, or one for a document that exists.
    fn attempt(&mut self, of: usize, existing: Option<(usize, bool)>) -> Option<Node> {
        for turn in 0..TRIES {
            self.richness = if turn < TRIES / 2 { 0.6 } else { 0.2 };
            let Some(node) = self.candidate(of, existing) else { continue };
            // Judged as if it were stored.
            let at = existing.map_or(self.world.documents.len(), |(document, _)| document);
            let candidate = Document { of, node: node.clone(), uuid: None, deleted: false };
            let before = match existing {
                Some((document, _)) => Some(std::mem::replace(&mut self.world.documents[document], candidate)),
                None => {
                    self.world.documents.push(candidate);
                    None
                }
            };
            let good = self.world.holds(at) && !self.world.is_taken(at);
            match before {
                Some(before) => self.world.documents[at] = before,
                None => drop(self.world.documents.pop()),
            }
            if good {
                return Some(node);
            }
        }
        None
    }

    fn candidate(&mut self, of: usize, existing: Option<(usize, bool)>) -> Option<Node> {
        let found = &self.world.set.types[of];
        self.before = self.world.documents.len();
        if found.kind == Kind::Descriptor {
            return Some(self.descriptor(existing.map(|(document, _)| document)));
        }
        let is_identity = |name: &str| {
            let at = format!("$.{name}");
            found.identity.iter().any(|e| e.path == at || e.path.starts_with(&format!("{at}.")))
        };
        let kept = |name: &str| -> Option<Node> {
            let (document, rename) = existing?;
            let Node::Object(members) = &self.world.documents[document].node else { return None };
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

    /// A descriptor's namespace and code never change.
    fn descriptor(&mut self, existing: Option<usize>) -> Node {
        self.counter += 1;
        let (namespace, code) = match existing.map(|document| self.world.body(document)) {
            Some(body) => (body["namespace"].clone(), body["codeValue"].clone()),
            None => (json!("uri://Example.org/Ünïted"), json!(format!("Code {} È", self.counter))),
        };
        let short = json!(format!("short {}", self.counter));
        let members = [("namespace", namespace), ("codeValue", code), ("shortDescription", short)];
        Node::Object(members.into_iter().map(|(name, value)| (name.to_owned(), Node::Value(value))).collect())
    }

    /// `None`: impossible; `Some(None)`: left out.
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
                let keys = |item: &Node| vec![key_of(&self.world.render(item), *leaf)];
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
                projects.push((self.world.set.projects[*project].endpoint.clone(), node));
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
                let item = self.world.render(item);
                unique.iter().map(|name| key_of(item.get(name).unwrap_or(&Value::Null), leaf(name))).collect()
            };
            items = distinct(items, keys);
        }
        Some((!items.is_empty()).then_some(Node::List(items)))
    }

    fn document_of(&mut self, target: usize) -> Option<usize> {
        let instances = self.world.set.instances(target);
        let fits = |at: &usize| instances.contains(&self.world.documents[*at].of) && *at < self.before;
        let documents: Vec<usize> = self.world.living().into_iter().filter(fits).collect();
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

/// The items without those that have the key of an earlier one.
fn distinct(items: Vec<Node>, key: impl Fn(&Node) -> Vec<String>) -> Vec<Node> {
    let mut seen = BTreeSet::new();
    items.into_iter().filter(|item| seen.insert(key(item))).collect()
}
