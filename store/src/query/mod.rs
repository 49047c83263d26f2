//! A client's query on a collection, and the SQL condition that it becomes.
//!
//! Values are parsed by the compiled kind of the field; the client's text never becomes part of the SQL. A value that
//! is well-formed but can match nothing (an integer beyond the column's range, a NUL) is not an error: the answer is
//! empty.

mod condition;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod request;
mod token;
mod value;

pub use error::QueryError;
pub use request::QueryRequest;

pub(crate) use condition::{Condition, Selection};
pub(crate) use token::{read_token, write_token};
