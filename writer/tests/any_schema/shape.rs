//! The contents of a generated set of ApiSchema files, before they are written as JSON.

/// A schema set: one core project, then its extensions.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) projects: Vec<Project>,
    /// Resource types, ordered so that identities and required references lead to earlier types only.
    pub(crate) types: Vec<Type>,
}

#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) name: String,
    pub(crate) endpoint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Descriptor,
    Abstract,
    Concrete,
    SchoolYear,
}

/// One resource type.
#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) project: usize,
    pub(crate) name: String,
    pub(crate) endpoint: String,
    pub(crate) kind: Kind,
    /// Identity paths in hash order.
    pub(crate) identity: Vec<IdentityPath>,
    pub(crate) body: Shape,
    /// The superclass, and whether the type is an association (same paths) or a domain entity (one path, renamed).
    pub(crate) superclass: Option<(usize, Subclass)>,
    pub(crate) renamable: bool,
    /// Pairs of paths that hold equal values.
    pub(crate) equal: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subclass {
    Association,
    DomainEntity,
}

/// One element of an identity.
#[derive(Debug, Clone)]
pub(crate) struct IdentityPath {
    pub(crate) path: String,
    pub(crate) leaf: Leaf,
    /// Type and position where the value originates; values with equal origins may be constrained to be equal.
    pub(crate) origin: (usize, usize),
}

/// The type of a single value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaf {
    Scalar(Scalar),
    /// The URI of a descriptor of this type.
    Descriptor(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    Text(Option<u32>),
    Short,
    Int,
    Long,
    /// Total digits and decimal places, if the schema declares them.
    Decimal(Option<(u16, u16)>),
    Bool,
    Date,
    Time,
    Timestamp,
}

/// The members of one object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    pub(crate) fields: Vec<Field>,
    /// Extensions of this object, by project.
    pub(crate) extensions: Vec<(usize, Shape)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) required: bool,
    pub(crate) content: Content,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    Leaf(Leaf),
    Reference(Reference),
    Object(Shape),
    /// Items, and the members that are unique together.
    List(Shape, Vec<String>),
    /// A list of scalar values, and whether they are unique.
    Bare(Leaf, bool),
}

/// A reference: for each position of the target's identity, the member that holds it.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) target: usize,
    pub(crate) members: Vec<String>,
}

impl Set {
    /// Returns the types that a reference can lead to: the type itself, or the subtypes of an abstract type.
    pub(crate) fn instances(&self, target: usize) -> Vec<usize> {
        if self.types[target].kind != Kind::Abstract {
            return vec![target];
        }
        let subtype = |at: &usize| self.types[*at].superclass.is_some_and(|(superclass, _)| superclass == target);
        (0..self.types.len()).filter(subtype).collect()
    }
}

/// Creates a field.
pub(crate) fn field(name: &str, required: bool, content: Content) -> Field {
    Field { name: name.to_owned(), required, content }
}
