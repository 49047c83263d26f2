//! Generates a schema set: first all types with their identities, then their bodies, which may refer to any type.

use crate::names::Names;
use crate::shape::{
    Content, Field, IdentityPath, Kind, Leaf, Project, Reference, Scalar, Set, Shape, Subclass, Type, field,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;

/// Maximum number of identity values of a type, including those of references.
const IDENTITY_MAX: usize = 9;
/// Maximum depth of lists and objects.
const DEPTH_MAX: usize = 3;

/// Generates the schema set of a seed. The same seed yields the same set.
pub(crate) fn generate(seed: u64) -> Set {
    let mut generator = Generator {
        rng: StdRng::seed_from_u64(seed),
        set: Set { projects: Vec::new(), types: Vec::new() },
        type_names: Vec::new(),
        members: Vec::new(),
    };
    generator.projects();
    generator.types();
    generator.bodies();
    generator.set
}

struct Generator {
    rng: StdRng,
    set: Set,
    /// Used type names by project.
    type_names: Vec<Names>,
    /// Used member names by type.
    members: Vec<Names>,
}

impl Generator {
    fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    fn projects(&mut self) {
        let pool = [("Ed-Fi", "ed-fi"), ("TPDM", "tpdm"), ("My Sample", "2nd-sample"), ("Größe", "g")];
        let count = self.rng.random_range(1..=3);
        let start = self.rng.random_range(0..pool.len());
        for at in 0..count {
            let (name, endpoint) = pool[(start + at) % pool.len()];
            self.set.projects.push(Project { name: name.to_owned(), endpoint: endpoint.to_owned() });
            self.type_names.push(Names::default());
        }
    }

    fn types(&mut self) {
        for _ in 0..self.rng.random_range(1..=3) {
            self.declare(Kind::Descriptor, "Descriptor");
        }
        if self.chance(0.4) {
            let year = self.declare(Kind::SchoolYear, "");
            let leaf = Leaf::Scalar(Scalar::Int);
            self.identify(year, vec![field("schoolYear", true, Content::Leaf(leaf))]);
            for (name, scalar) in
                [("currentSchoolYear", Scalar::Bool), ("schoolYearDescription", Scalar::Text(Some(50)))]
            {
                self.set.types[year].body.fields.push(field(name, true, Content::Leaf(Leaf::Scalar(scalar))));
            }
        }
        let concrete = self.rng.random_range(2..=12);
        let mut declared = 0;
        while declared < concrete {
            if self.chance(0.15) {
                declared += self.family();
                continue;
            }
            let at = self.declare(Kind::Concrete, "");
            let fields = self.identity_fields(at, 3);
            self.identify(at, fields);
            declared += 1;
        }
    }

    /// Declares an abstract type with up to three subtypes; returns the number of subtypes.
    fn family(&mut self) -> usize {
        let top = self.declare(Kind::Abstract, "");
        let subclass = if self.chance(0.5) { Subclass::Association } else { Subclass::DomainEntity };
        let fields = match subclass {
            Subclass::Association => self.identity_fields(top, 3),
            Subclass::DomainEntity => {
                let leaf = self.identity_leaf();
                let name = if self.chance(0.2) { "documentId" } else { "abstractId" };
                vec![field(name, true, Content::Leaf(leaf))]
            }
        };
        self.identify(top, fields.clone());
        let count = self.rng.random_range(0..=3);
        for _ in 0..count {
            let at = self.declare(Kind::Concrete, "");
            let mut own = fields.clone();
            if subclass == Subclass::DomainEntity {
                own[0].name = self.members[at].member(&mut self.rng);
                own[0].content = Content::Leaf(self.like(&fields[0]));
            }
            for field in &own {
                let name = field.name.trim_end_matches("Reference").trim_end_matches("Descriptor");
                self.members[at].take(name);
            }
            self.identify(at, own);
            // One member of a reference to the superclass may hold both values, so all subtypes inherit its equalities.
            self.set.types[at].equal = self.set.types[top].equal.clone();
            self.set.types[at].superclass = Some((top, subclass));
        }
        count
    }

    /// Returns a leaf of the same kind with a slightly different storage type that still holds the referenced values.
    fn like(&mut self, field: &Field) -> Leaf {
        let Content::Leaf(leaf) = field.content else { return self.identity_leaf() };
        match leaf {
            Leaf::Scalar(Scalar::Long) if self.chance(0.5) => Leaf::Scalar(Scalar::Int),
            Leaf::Scalar(Scalar::Decimal(digits)) => {
                let places = digits.map_or(4, |(_, places)| places);
                Leaf::Scalar(Scalar::Decimal(Some((self.rng.random_range(9..=18), places))))
            }
            Leaf::Scalar(Scalar::Text(_)) => Leaf::Scalar(Scalar::Text(Some(self.rng.random_range(12..=300)))),
            other => other,
        }
    }

    fn declare(&mut self, kind: Kind, suffix: &str) -> usize {
        let project = self.rng.random_range(0..self.set.projects.len());
        let project = if self.chance(0.5) || kind == Kind::SchoolYear { 0 } else { project };
        let name = match kind {
            Kind::SchoolYear => "SchoolYearType".to_owned(),
            _ => format!("{}{suffix}", self.type_names[project].type_name(&mut self.rng)),
        };
        let ascii: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let endpoint = format!("{}{}s", ascii[..1].to_lowercase(), &ascii[1..]);
        let renamable = kind == Kind::Concrete && self.chance(0.5);
        self.set.types.push(Type {
            project,
            name,
            endpoint,
            kind,
            identity: Vec::new(),
            body: Shape::default(),
            superclass: None,
            renamable,
            equal: Vec::new(),
        });
        self.members.push(Names::default());
        self.set.types.len() - 1
    }

    /// Sets the identity of a type. The fields are required; their values are the identity elements.
    fn identify(&mut self, at: usize, fields: Vec<Field>) {
        let mut identity = Vec::new();
        for field in &fields {
            match &field.content {
                Content::Leaf(leaf) => {
                    let origin = (at, identity.len());
                    identity.push(IdentityPath { path: format!("$.{}", field.name), leaf: *leaf, origin });
                }
                Content::Reference(reference) => {
                    for (member, (leaf, origin)) in self.member_leaves(reference) {
                        identity.push(IdentityPath { path: format!("$.{}.{member}", field.name), leaf, origin });
                    }
                }
                Content::Object(_) | Content::List(..) | Content::Bare(..) => {}
            }
        }
        self.set.types[at].identity = identity;
        self.set.types[at].body.fields = fields;
        let values = self.reference_values(&self.set.types[at].body, "$", false);
        self.add_equalities(at, &values, 0.7);
    }

    /// Returns the members of a reference with their leaf and the origin of the value.
    fn member_leaves(&self, reference: &Reference) -> BTreeMap<String, (Leaf, (usize, usize))> {
        let mut leaves = BTreeMap::new();
        for (member, element) in reference.members.iter().zip(&self.set.types[reference.target].identity) {
            leaves.entry(member.clone()).or_insert((element.leaf, element.origin));
        }
        leaves
    }

    fn identity_fields(&mut self, at: usize, most: usize) -> Vec<Field> {
        let mut fields = Vec::new();
        let mut values = 0;
        for number in 0..self.rng.random_range(1..=most) {
            let name = self.members[at].member(&mut self.rng);
            let target = if self.chance(0.5) { self.target(at, true) } else { None };
            if let Some(target) = target.filter(|t| values + self.set.types[*t].identity.len() <= IDENTITY_MAX) {
                values += self.set.types[target].identity.len();
                let reference = self.reference(target);
                fields.push(field(&format!("{name}Reference"), true, Content::Reference(reference)));
                continue;
            }
            values += 1;
            let leaf = if number == 0 { self.identity_leaf() } else { self.leaf() };
            fields.push(field(&self.leaf_name(name, leaf), true, Content::Leaf(leaf)));
        }
        fields
    }

    /// Names a leaf. Most descriptor members end with `Descriptor`, but only the mapping makes them descriptors.
    fn leaf_name(&mut self, name: String, leaf: Leaf) -> String {
        if matches!(leaf, Leaf::Descriptor(_)) && self.chance(0.8) { format!("{name}Descriptor") } else { name }
    }

    /// Returns a leaf with enough distinct values for an identity.
    fn identity_leaf(&mut self) -> Leaf {
        loop {
            let leaf = self.leaf();
            if matches!(leaf, Leaf::Scalar(scalar) if scalar != Scalar::Bool) {
                return leaf;
            }
        }
    }

    fn leaf(&mut self) -> Leaf {
        if self.chance(0.2) {
            let types = self.set.types.iter().enumerate();
            let descriptors: Vec<usize> =
                types.filter(|(_, found)| found.kind == Kind::Descriptor).map(|(at, _)| at).collect();
            if let Some(at) = descriptors.choose(&mut self.rng) {
                return Leaf::Descriptor(*at);
            }
        }
        let digits = self.rng.random_range(9..=18);
        Leaf::Scalar(match self.rng.random_range(0..12) {
            0..3 => Scalar::Text(Some(self.rng.random_range(12..=300))),
            3 => Scalar::Text(if self.chance(0.5) { None } else { Some(2000) }),
            4 => Scalar::Short,
            5 => Scalar::Int,
            6 => Scalar::Long,
            7 => Scalar::Decimal(if self.chance(0.2) { None } else { Some((digits, self.rng.random_range(0..=4))) }),
            8 => Scalar::Bool,
            9 => Scalar::Date,
            10 => Scalar::Time,
            _ => Scalar::Timestamp,
        })
    }

    /// Chooses a target type. With `earlier`, only types whose documents exist before; otherwise any type, including itself.
    fn target(&mut self, from: usize, earlier: bool) -> Option<usize> {
        let superclass = self.set.types[from].superclass.map(|(superclass, _)| superclass);
        let fits = |at: usize| {
            let found = &self.set.types[at];
            let exists = self.set.instances(at).iter().all(|instance| *instance < from)
                && !self.set.instances(at).is_empty()
                && Some(at) != superclass;
            found.kind != Kind::Descriptor && !found.identity.is_empty() && (!earlier || (at < from && exists))
        };
        let targets: Vec<usize> = (0..self.set.types.len()).filter(|at| fits(*at)).collect();
        targets.choose(&mut self.rng).copied()
    }

    /// Builds a reference. Members are named after the last segment of the target's paths, some with a role. If the target
    /// declares two of its values equal, one member may hold both.
    fn reference(&mut self, target: usize) -> Reference {
        let role = if self.chance(0.4) { "role" } else { "" };
        let elements = self.set.types[target].identity.clone();
        let equal = self.set.types[target].equal.clone();
        let mut members: Vec<String> = Vec::new();
        for (at, element) in elements.iter().enumerate() {
            let is_equal = |other: &usize| {
                let other = &elements[*other].path;
                equal.iter().any(|(a, b)| (a, b) == (&element.path, other) || (b, a) == (&element.path, other))
            };
            if let Some(other) = (0..at).find(is_equal).filter(|_| self.chance(0.6)) {
                members.push(members[other].clone());
                continue;
            }
            let leaf = element.path.rsplit('.').next().unwrap_or_default();
            let mut name = format!("{role}{leaf}");
            while members.contains(&name) {
                name = format!("other{name}");
            }
            members.push(name);
        }
        Reference { target, members }
    }

    fn bodies(&mut self) {
        for at in 0..self.set.types.len() {
            if self.set.types[at].kind != Kind::Concrete {
                continue;
            }
            let fields = self.rng.random_range(0..=7);
            let mut shape = self.shape(at, fields, 0, true);
            self.set.types[at].body.fields.append(&mut shape.fields);
            let extensions = self.extensions(at, 0, 0.3);
            self.set.types[at].body.extensions = extensions;
            let lists = self.chance(0.5);
            let values = self.reference_values(&self.set.types[at].body, "$", lists);
            self.add_equalities(at, &values, 0.2);
        }
    }

    /// Generates a shape. With `open`, other projects may extend it; extensions themselves are not extended.
    fn shape(&mut self, of: usize, fields: usize, depth: usize, open: bool) -> Shape {
        Shape { fields: (0..fields).map(|_| self.field(of, depth, open)).collect(), extensions: Vec::new() }
    }

    fn field(&mut self, of: usize, depth: usize, open: bool) -> Field {
        let name = self.members[of].member(&mut self.rng);
        let required = self.chance(0.3);
        let count = self.rng.random_range(1..=3);
        match self.rng.random_range(0..12) {
            0..3 => {
                let Some(target) = self.target(of, required) else { return self.leaf_field(name, required) };
                let reference = self.reference(target);
                field(&format!("{name}Reference"), required, Content::Reference(reference))
            }
            3..5 if depth < DEPTH_MAX => {
                field(&name, required, Content::Object(self.shape(of, count, depth + 1, open)))
            }
            5..8 if depth < DEPTH_MAX => {
                let mut items = self.shape(of, count, depth + 1, open);
                let unique = self.unique(&items);
                if open {
                    items.extensions = self.extensions(of, depth + 1, 0.15);
                }
                field(&format!("{name}s"), required, Content::List(items, unique))
            }
            8 => {
                let (leaf, unique) = (self.leaf(), self.chance(0.5));
                field(&format!("{name}s"), required, Content::Bare(leaf, unique))
            }
            _ => self.leaf_field(name, required),
        }
    }

    fn leaf_field(&mut self, name: String, required: bool) -> Field {
        let leaf = self.leaf();
        field(&self.leaf_name(name, leaf), required, Content::Leaf(leaf))
    }

    /// Chooses up to two members of an item that are unique together, or none.
    fn unique(&mut self, items: &Shape) -> Vec<String> {
        if self.chance(0.4) {
            return Vec::new();
        }
        let fields = items.fields.iter().filter(|f| matches!(f.content, Content::Leaf(_) | Content::Reference(_)));
        fields.take(2).map(|field| field.name.clone()).collect()
    }

    fn extensions(&mut self, of: usize, depth: usize, probability: f64) -> Vec<(usize, Shape)> {
        let mut found = Vec::new();
        for project in 1..self.set.projects.len() {
            if project != self.set.types[of].project && self.extendable(of) && self.chance(probability) {
                let fields = self.rng.random_range(1..=3);
                let shape = self.shape(of, fields, depth + 1, false);
                found.push((project, shape));
            }
        }
        found
    }

    /// Returns whether a type can be extended. An extension names only the resource: a core resource has priority, and
    /// otherwise the name must be unique.
    fn extendable(&self, of: usize) -> bool {
        let same = |t: &&Type| t.name == self.set.types[of].name;
        self.set.types[of].project == 0 || self.set.types.iter().filter(same).count() == 1
    }

    /// Returns the paths of reference members with the origin of their values; with `lists`, including those in lists.
    fn reference_values(&self, shape: &Shape, path: &str, lists: bool) -> Vec<(String, String, (usize, usize))> {
        let mut found = Vec::new();
        for field in &shape.fields {
            let at = format!("{path}.{}", field.name);
            match &field.content {
                Content::Reference(reference) => {
                    for (member, (_, origin)) in self.member_leaves(reference) {
                        found.push((at.clone(), format!("{at}.{member}"), origin));
                    }
                }
                Content::Object(inner) => found.extend(self.reference_values(inner, &at, lists)),
                Content::List(items, _) if lists => {
                    found.extend(self.reference_values(items, &format!("{at}[*]"), lists));
                }
                _ => {}
            }
        }
        found
    }

    /// Adds equality constraints between values of one origin that come from two references.
    fn add_equalities(&mut self, at: usize, values: &[(String, String, (usize, usize))], probability: f64) {
        for (index, (object, path, origin)) in values.iter().enumerate() {
            for (other_object, other, other_origin) in &values[index + 1..] {
                if origin == other_origin && object != other_object && self.chance(probability) {
                    self.set.types[at].equal.push((path.clone(), other.clone()));
                }
            }
        }
    }
}
