//! What a client may ask of a collection, and the SQL condition that it becomes.
//!
//! Values are parsed by the compiled kind of the field; what the client wrote never becomes part of the SQL text. A
//! value that is well-formed but can match nothing (an integer beyond the column's range, a NUL) is no error: the answer
//! is empty.

mod condition;
mod error;
mod token;
mod value;

pub use error::QueryError;

pub(crate) use condition::{Condition, Selection};
pub(crate) use token::{read_token, write_token};

/// A query on a collection.
#[derive(Debug, Clone, Default)]
pub struct QueryRequest {
    /// Query fields and the text to match, AND-ed; names match ignoring case.
    pub filters: Vec<(String, String)>,
    /// Documents to return at most. 0 is an empty page.
    pub limit: u32,
    /// Documents to leave out before the first.
    pub offset: u64,
    /// Also count what matches the filters.
    pub total_count: bool,
    /// Go on behind the page that gave this token.
    pub page_token: Option<String>,
}
