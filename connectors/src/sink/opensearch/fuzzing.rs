//! The entrance of the crate `fuzz` to the responses of a cluster.

use super::aliases::Aliases;
use super::client::BulkResponse;
use super::errors::{classify_bulk, classify_item};
use super::items;
use super::names::IndexNames;
use super::scan::ScanResponse;

use bytes::Bytes;

/// Reads the response to a bulk and classifies it and its items.
///
/// # Panics
/// When a truncated response has other items than the whole one.
pub fn bulk_response(status: u16, body: &[u8]) {
    let (all, _) = items::read(body);
    for item in &all {
        drop(classify_item(item));
    }
    let (part, _) = items::read(&body[..body.len() / 2]);
    assert!(part.len() <= all.len() && part[..] == all[..part.len()], "other items in a truncated response");
    let body = Bytes::copy_from_slice(body);
    drop(classify_bulk(&BulkResponse { status, body, truncated: None, retry_after: None }));
}

/// Reads a page of a scan; returns the bytes of its documents.
pub fn scan_page(body: &[u8]) -> usize {
    let read: Result<ScanResponse<'_>, _> = serde_json::from_slice(body);
    read.map_or(0, |page| page.hits.hits.iter().map(|hit| hit.source.document.get().len()).sum())
}

/// Reads the list of indexes and aliases, and a name of an index.
pub fn index_state(body: &[u8], index: &str) {
    let read: Result<Aliases, _> = serde_json::from_slice(body);
    drop(read);
    let names = IndexNames::new("millstream");
    if let Some((number, stem)) = names.parse(index) {
        assert_eq!(names.parse(&names.index(number, stem)), Some((number, stem)));
    }
}
