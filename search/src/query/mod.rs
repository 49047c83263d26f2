//! Queries: typed, checked against the fields of the type, and independent of the engine.
//!
//! # Conditions
//! All conditions of a query must hold. Conditions on fields in collections are grouped ([`Group`]): all conditions on
//! one collection must hold on **one** element of it, and those on an inner collection on one element within that
//! element. Conditions on two sibling collections are independent.
//!
//! # Order
//! Results are ordered by the fields of [`SearchQuery::sort`], ties by id, ascending. A document without the field
//! comes last in both directions. Only fields outside collections can be sorted by: a document has at most one value of
//! them. Without a sort the order is by relevance if [`SearchQuery::terms`] are given, else by id.

mod condition;
mod cursor;
mod error;
mod name;
mod parse;
mod projection;
mod types;

pub use cursor::Cursor;
pub use error::ParameterError;
pub use parse::QueryOptions;
pub use projection::Projection;
pub use types::{Comparison, Condition, Facet, Group, SearchQuery, Sort, SortKey, Test};
