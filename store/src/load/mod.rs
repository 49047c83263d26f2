//! What a rebuild or a read starts from: heads of documents, their rows, and what their rows point to.
//!
//! Everything here is set-based: a constant number of statements for each resource type of a batch, none for each
//! document. All statements of a step are sent before the first answer is awaited. To see one state of the database,
//! call these functions inside one `REPEATABLE READ` transaction.

mod head;
mod identities;
mod lookups;
mod remembered;
mod rows;

pub use head::{DocumentHead, heads_after, heads_by_id, heads_by_uuid};
pub(crate) use head::{head_columns, head_of};
pub(crate) use identities::IdentityValues;
pub(crate) use lookups::{DescriptorFound, Lookups, load_descriptors, load_lookups};
pub use remembered::Caches;
pub(crate) use rows::{Batch, Extent, TableRows, TypeRows, load_batch, load_documents, query_cached};
