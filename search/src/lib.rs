//! Search, as every engine and the HTTP layer understand it.
//!
//! What it is: the fields of each resource type ([`SearchModel`], from the compiled mapping alone), a typed query
//! ([`SearchQuery`]) read from query parameters, what an answer is ([`SearchPage`]), and the promise of an engine
//! ([`SearchEngine`]). The suite in `conformance` holds every engine to the same answers, and to those of a plain
//! evaluation in memory.
//!
//! What it is not: it does no I/O, knows no runtime and no engine. Engines live in `connectors`, the address in `api`;
//! both depend on this crate and neither on the other (`docs/adr/0007`).
//!
//! # What two engines must agree on, and what not
//! Which documents match, totals, facets, the order of a `sort`, and paging are the same everywhere. Relevance is not: with
//! `q` and no `sort` the best come first by each engine's own measure (how rare a term is among all documents of the
//! index or of the type, how long the text around it is), so the order, and with a `limit` the choice, may differ.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod engine;
mod extract;
mod model;
mod query;
pub mod text;
mod value;

pub use engine::{FacetCount, FacetValues, Hit, SearchEngine, SearchError, SearchPage, search};
pub use extract::{Element, Extracted, extract};
pub use model::{
    Collection, CollectionIx, Field, FieldIx, FieldKind, ID, LAST_MODIFIED, Place, SearchModel, SearchResource, Shape,
};
pub use query::{
    Comparison, Condition, Cursor, Facet, Group, ParameterError, Projection, QueryOptions, SearchQuery, Sort, SortKey,
    Test,
};
pub use value::{Decimal, HELD_UNITS_MAX, Value, code_of};
