//! The proof that a sink equals the cache (CONVERGE), document by document, deletes included.
//!
//! The sink is read once ([`collect`]), reduced to a version and a digest per document, and kept in a temporary table
//! of the database, so memory stays bounded for a sink of any size. Both sides are then compared page by page in the
//! order of their public ids ([`compare`]). The bytes in the sink have to be those of a GET.
//!
//! While documents change, two reads at different times never agree. Every difference is therefore checked a second
//! time ([`prove()`]): only one that occurs twice, about the same version of the same document, is reported; the others
//! are lag.
//!
//! The proof takes the cache as correct; `millstream_store::verify` checks the cache.

mod collect;
mod compare;
mod documents;
mod finding;
mod prove;

pub use collect::ProofError;
pub(crate) use documents::compare_documents;
pub use documents::prove_documents;
pub use finding::{Finding, FindingKind, SinkReport};
pub use prove::prove;
