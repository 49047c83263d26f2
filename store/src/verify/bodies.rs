//! Cached bodies against composed ones (CONVERGE, MONOTONIC).

use super::range::{Range, difference};
use super::report::{DifferenceKind, Report, shorten};
use crate::compose::{ComposeProblem, Composed, body_hash, whole_seconds};
use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::load::DocumentHead;
use crate::table::audit::{CachedBody, cached_bodies};
use std::collections::HashMap;

/// Compares `dms.DocumentCache` with the bodies composed from the rows, reading cached bodies of `bytes_max` bytes at a
/// time.
pub(super) async fn check<C: GenericClient>(
    client: &C,
    range: &Range<'_>,
    composed: Vec<Composed>,
    bytes_max: usize,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut composed: HashMap<i64, Composed> =
        composed.into_iter().map(|composed| (composed.head.document_id, composed)).collect();
    let mut ids: Vec<i64> = composed.keys().copied().collect();
    ids.sort_unstable();
    while !ids.is_empty() {
        let rows = cached_bodies(client, &ids, bytes_max).await?;
        let unread = rows.iter().position(|row| row.body.is_none());
        // A body that does not fit at all is not read: it cannot equal a composed one, all of which fit.
        let next = unread.map(|at| rows[at].document_id + i64::from(at == 0));
        let cached: HashMap<i64, CachedBody> = rows.into_iter().map(|row| (row.document_id, row)).collect();
        let end = next.map_or(ids.len(), |next| ids.partition_point(|id| *id < next));
        for id in ids.drain(..end) {
            if let Some(composed) = composed.remove(&id) {
                check_document(range, report, composed, cached.get(&id));
            }
        }
    }
    Ok(())
}

fn check_document(range: &Range<'_>, report: &mut Report, composed: Composed, cached: Option<&CachedBody>) {
    let Composed { head, body } = composed;
    let composed = match body {
        Ok(body) => Some(body),
        Err(error) => {
            // `existence` reports missing roots and unknown types.
            if !matches!(error.problem, ComposeProblem::RootRowMissing { .. } | ComposeProblem::UnknownType(_)) {
                let (expected, found) = ("a body".to_owned(), error.problem.to_string());
                range.differs(report, DifferenceKind::Uncomposable, head.document_id, expected, found);
            }
            None
        }
    };
    match cached {
        Some(row) => check_row(range, report, &head, composed.as_deref(), row),
        None => {
            let expected = format!("version {}", head.effective_version);
            report.add_behind(difference(range.mapping, &head, expected, "not in the cache".to_owned()));
        }
    }
}

fn check_row(range: &Range<'_>, report: &mut Report, head: &DocumentHead, composed: Option<&[u8]>, row: &CachedBody) {
    let id = head.document_id;
    if row.body.as_ref().is_some_and(|body| row.hash.as_deref() != Some(body_hash(body.as_bytes()).as_slice())) {
        let found = "another hash".to_owned();
        range.differs(report, DifferenceKind::CacheHash, id, "the hash of the cached body".to_owned(), found);
    }
    let expected = cached_head(head.effective_version, head.uuid, head.key, head.last_modified);
    let found = cached_head(row.version, row.uuid, row.key, row.last_modified);
    if row.version > head.content_version {
        range.differs(report, DifferenceKind::CacheAhead, id, expected, found);
    } else if row.version < head.effective_version {
        report.add_behind(difference(range.mapping, head, expected, found));
    } else {
        if expected != found {
            range.differs(report, DifferenceKind::CacheHead, id, expected, found);
        }
        if let Some(composed) = composed
            && row.body.as_ref().map(String::as_bytes) != Some(composed)
        {
            let found = row.body.clone().unwrap_or_else(|| format!("a body of {} bytes", row.bytes));
            let (expected, found) = shorten(&String::from_utf8_lossy(composed), &found);
            range.differs(report, DifferenceKind::CacheBody, id, expected, found);
        }
    }
}

fn cached_head(version: i64, uuid: uuid::Uuid, key: i16, last_modified: jiff::Timestamp) -> String {
    format!("version {version} of {uuid}, type {key}, modified {}", whole_seconds(last_modified))
}
