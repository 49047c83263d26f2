//! The types of the compiled mapping, as plain data. Derivation (`model`) and compilation (`plan`) fill them in; other
//! crates find them under [`plan`](crate::plan).

mod body;
mod descriptor;
mod identity;
mod key;
mod query;
mod resource;
mod site;
mod table;

pub use body::{Array, Extension, ExtensionProject, Item, Member, Node, Object};
pub use descriptor::DescriptorColumn;
pub use identity::{IdentityElement, IdentityPlan, IdentitySource, Superclass};
pub use key::{ResourceIx, ResourceKeyId};
pub use query::{QueryField, QueryFilter, QueryKind, QueryPath};
pub use resource::{AbstractPlan, Mapping, ResourcePlan};
pub use site::{ArrayUniqueness, DescriptorSite, EqualityConstraint, ReferenceMember, ReferenceSite};
pub use table::{ColumnPlan, ColumnType, TablePlan, TableRole};
