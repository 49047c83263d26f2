//! The API's reads: one document, or a page of a collection.
//!
//! The fast path is one autocommit statement over `dms.Document`, `dms.DocumentCache` and the open cascades. If any row
//! of the answer is not current in the cache, the whole answer, page and total count too, is made again in one
//! `REPEATABLE READ READ ONLY` transaction, in which the missing bodies are composed from the tables
//! (docs/design/rules.md#rule-4). So no read returns an old body (FRESH), whatever the state of the cache, and the
//! bytes are the same either way.

mod answer;
mod document;
mod one;
mod page;

pub use document::{ReadDocument, ReadError};
pub use one::get;
pub use page::{Page, page};
