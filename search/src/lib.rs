//! The search contract between engines and the HTTP layer.
//!
//! The crate contains the fields of each resource type ([`SearchModel`], derived from the compiled mapping alone), a
//! typed query ([`SearchQuery`]) parsed from query parameters, result pages ([`SearchPage`]), and the contract of an
//! engine ([`SearchEngine`]). The suite in `conformance` checks that every engine returns the same results as a simple
//! evaluation in memory.
//!
//! The crate does no I/O and depends on no runtime and no engine. Engines live in `connectors`, the endpoint in `api`;
//! both depend on this crate and neither on the other (`docs/adr/0007`).
//!
//! # Differences between engines
//! The matching documents, totals, facets, the order of a `sort`, and paging are the same in every engine. Relevance is
//! not: with `q` and without `sort`, each engine ranks by its own measure (how rare a term is among all documents of
//! the index or of the type, how long the text around it is), so the order, and with a `limit` the selection, may
//! differ.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod engine;
mod extract;
mod hit;
mod model;
mod query;
pub mod text;
mod value;

pub use engine::{FacetCount, FacetValues, SearchEngine, SearchError, SearchPage, project, search};
pub use extract::{Element, Extracted, extract};
pub use hit::Hit;
pub use model::{
    Collection, CollectionIx, Field, FieldIx, FieldKind, ID, LAST_MODIFIED, MemberKind, SearchModel, SearchResource,
    Shape,
};
pub use query::{
    Comparison, Condition, Cursor, Facet, Group, ParameterError, Projection, QueryOptions, SearchQuery, Sort, SortKey,
    Test,
};
pub use value::{Decimal, HELD_UNITS_MAX, Value, code_of};
