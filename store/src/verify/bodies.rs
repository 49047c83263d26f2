//! Cached bodies against composed ones (CONVERGE, MONOTONIC).

use super::range::{Range, difference};
use super::report::{DifferenceKind, Report, shorten};
use crate::compose::{ComposeProblem, Composed, body_hash, whole_seconds};
use crate::error::StoreError;
use crate::load::{DocumentHead, query_cached};
use deadpool_postgres::GenericClient;
use std::collections::HashMap;
use tokio_postgres::Row;

const CACHED_SQL: &str = r#"SELECT c."DocumentId", c."ContentVersion", c."DocumentUuid", c."ResourceKeyId", c."LastModifiedAt", c."Body", c."BodyHash"
  FROM "dms"."DocumentCache" c
 WHERE c."DocumentId" = ANY($1::int8[])"#;

/// Compares `dms.DocumentCache` with what the rows make.
pub(super) async fn check<C: GenericClient>(
    client: &C,
    range: &Range<'_>,
    composed: Vec<Composed>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let rows = query_cached(client, CACHED_SQL, &[&range.ids]).await?;
    let mut cached: HashMap<i64, &Row> = HashMap::with_capacity(rows.len());
    for row in &rows {
        cached.insert(row.try_get(0)?, row);
    }
    for Composed { head, body } in composed {
        let id = head.document_id;
        let composed = match body {
            Ok(body) => Some(body),
            Err(error) => {
                // Missing roots and unknown types are reported as such.
                if !matches!(error.problem, ComposeProblem::RootRowMissing { .. } | ComposeProblem::UnknownType(_)) {
                    let found = error.problem.to_string();
                    range.differs(report, DifferenceKind::Uncomposable, id, "a body".to_owned(), found);
                }
                None
            }
        };
        match cached.get(&id) {
            Some(row) => check_row(range, report, &head, composed.as_deref(), row)?,
            None => {
                let expected = format!("version {}", head.effective_version);
                report.add_behind(difference(range.mapping, &head, expected, "not in the cache".to_owned()));
            }
        }
    }
    Ok(())
}

fn check_row(
    range: &Range<'_>,
    report: &mut Report,
    head: &DocumentHead,
    composed: Option<&[u8]>,
    row: &Row,
) -> Result<(), StoreError> {
    let id = head.document_id;
    let (version, body, hash): (i64, &str, Option<&[u8]>) = (row.try_get(1)?, row.try_get(5)?, row.try_get(6)?);
    if hash != Some(body_hash(body.as_bytes()).as_slice()) {
        let found = "another hash".to_owned();
        range.differs(report, DifferenceKind::CacheHash, id, "the hash of the cached body".to_owned(), found);
    }
    let expected = cached_head(head.effective_version, head.uuid, head.key, head.last_modified);
    let found = cached_head(version, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
    if version > head.content_version {
        range.differs(report, DifferenceKind::CacheAhead, id, expected, found);
    } else if version < head.effective_version {
        report.add_behind(difference(range.mapping, head, expected, found));
    } else {
        if expected != found {
            range.differs(report, DifferenceKind::CacheHead, id, expected, found);
        }
        if let Some(composed) = composed
            && composed != body.as_bytes()
        {
            let (expected, found) = shorten(&String::from_utf8_lossy(composed), body);
            range.differs(report, DifferenceKind::CacheBody, id, expected, found);
        }
    }
    Ok(())
}

fn cached_head(version: i64, uuid: uuid::Uuid, key: i16, last_modified: jiff::Timestamp) -> String {
    format!("version {version} of {uuid}, type {key}, modified {}", whole_seconds(last_modified))
}
