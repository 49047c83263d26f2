//! Compilation: a model becomes a [`Mapping`], everything that the running system needs to know about a resource type,
//! as plain data.
//!
//! A [`Mapping`] is built once at start ([`compile`]) and shared behind an `Arc`. It holds no closures and no handles,
//! so it can be written to a file and read back. Its names are final: quoted for PostgreSQL, and shortened where
//! needed.

mod compile;
mod query;

pub use crate::mapping::{
    AbstractPlan, Array, ArrayUniqueness, ColumnPlan, ColumnType, DescriptorColumn, DescriptorSite, EqualityConstraint,
    Extension, ExtensionProject, IdentityElement, IdentityPlan, IdentitySource, Item, Mapping, Member, Node, Object,
    QueryField, QueryFilter, QueryKind, QueryPath, ReferenceMember, ReferenceSite, ResourceIx, ResourceKeyId,
    ResourcePlan, Superclass, TablePlan, TableRole,
};
pub use compile::compile;
