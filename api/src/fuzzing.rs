//! The entrance of the crate `fuzz` to query strings.

use crate::options::ApiOptions;
use crate::request::{pairs, read_query};
use millstream_store::query::QueryRequest;

/// The decoded parameters of a query string, and the request for a page of documents that it means; `None` for refused.
pub fn query_string(raw: &str) -> (Option<Vec<(String, String)>>, Option<QueryRequest>) {
    (pairs(Some(raw)).ok(), read_query(Some(raw), &ApiOptions::default()).ok())
}
