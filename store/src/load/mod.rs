//! The inputs of a rebuild or a read: heads of documents, their rows, and the identities and descriptors that they
//! refer to.
//!
//! Everything here is set-based: a constant number of statements per resource type of a batch, none per document. All
//! statements of a step are sent before the first answer is awaited. To see one state of the database, call these
//! functions inside one `REPEATABLE READ` transaction.

mod identities;
mod lookups;
mod remembered;
mod row_budget;
mod rows;
mod sizes;

pub use crate::table::document::{DocumentHead, heads_after, heads_by_id, heads_by_uuid};
pub(crate) use identities::IdentityValues;
pub(crate) use lookups::{LoadedDescriptor, Lookups, load_descriptors, load_lookups};
pub use remembered::Caches;
pub(crate) use remembered::Memory;
pub(crate) use row_budget::RowBudget;
pub(crate) use rows::{Batch, Extent, TableRows, TypeRows, load_batch, load_documents};
pub(crate) use sizes::document_sizes;
