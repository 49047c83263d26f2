//! The entrance of the crate `fuzz` to page tokens.

use super::token::{read_token, write_token};
use millstream_schema::plan::ResourceKeyId;

/// Reads a token of a page of this type.
///
/// # Panics
/// When the token is accepted, but is not the one that its page returned.
pub fn page_token(key: ResourceKeyId, token: &str) {
    if let Some(last) = read_token(key, token) {
        assert_eq!(write_token(key, last), token, "two tokens of one page");
    }
}
