//! Cached bodies against composed ones (CONVERGE, MONOTONIC).

use super::range::{Range, difference};
use super::report::{DifferenceKind, Report, shorten};
use crate::compose::{ComposeProblem, Composed, body_hash, whole_seconds};
use crate::error::StoreError;
use crate::load::DocumentHead;
use crate::table::audit::{CachedBody, cached_bodies};
use deadpool_postgres::GenericClient;
use std::collections::HashMap;

/// Compares `dms.DocumentCache` with the bodies composed from the rows.
pub(super) async fn check<C: GenericClient>(
    client: &C,
    range: &Range<'_>,
    composed: Vec<Composed>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let rows = cached_bodies(client, &range.ids).await?;
    let cached: HashMap<i64, CachedBody> = rows.into_iter().map(|row| (row.document_id, row)).collect();
    for Composed { head, body } in composed {
        let id = head.document_id;
        let composed = match body {
            Ok(body) => Some(body),
            Err(error) => {
                // `existence` reports missing roots and unknown types.
                if !matches!(error.problem, ComposeProblem::RootRowMissing { .. } | ComposeProblem::UnknownType(_)) {
                    let found = error.problem.to_string();
                    range.differs(report, DifferenceKind::Uncomposable, id, "a body".to_owned(), found);
                }
                None
            }
        };
        match cached.get(&id) {
            Some(row) => check_row(range, report, &head, composed.as_deref(), row),
            None => {
                let expected = format!("version {}", head.effective_version);
                report.add_behind(difference(range.mapping, &head, expected, "not in the cache".to_owned()));
            }
        }
    }
    Ok(())
}

fn check_row(range: &Range<'_>, report: &mut Report, head: &DocumentHead, composed: Option<&[u8]>, row: &CachedBody) {
    let id = head.document_id;
    if row.hash.as_deref() != Some(body_hash(row.body.as_bytes()).as_slice()) {
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
            && composed != row.body.as_bytes()
        {
            let (expected, found) = shorten(&String::from_utf8_lossy(composed), &row.body);
            range.differs(report, DifferenceKind::CacheBody, id, expected, found);
        }
    }
}

fn cached_head(version: i64, uuid: uuid::Uuid, key: i16, last_modified: jiff::Timestamp) -> String {
    format!("version {version} of {uuid}, type {key}, modified {}", whole_seconds(last_modified))
}
