//! One page of a replay: the next documents, and the entries to enqueue for them.

use super::job::{Aim, ReplayCursor, Selection, Spec};
use crate::error::{During, ProjectorError};
use millstream_pipeline::queue::Work;
use millstream_store::connect::{Client, Database};
use millstream_store::error::StoreError;
use millstream_store::table::known_version::{self, KnownVersion};
use millstream_store::table::replay::{self, ReplayScope, TypeCount};
use std::collections::HashMap;
use uuid::Uuid;

const ACTION: &str = "reading documents to replay";

/// The entries of one page.
pub(super) struct ReplayPage {
    pub(super) work: Vec<Work>,
    /// Documents of the page that exist.
    pub(super) existing: Vec<i64>,
    /// Rows read, as the total counts them: each change record is one, a document may have several.
    pub(super) rows: u64,
    /// The start of the next page.
    pub(super) next: ReplayCursor,
}

/// Counts the entries of a replay of this selection by type, the largest number first.
///
/// # Errors
/// When the database fails.
pub async fn count(database: &Database, selection: &Selection) -> Result<Vec<TypeCount>, ProjectorError> {
    let scope = match (selection, outbox_span(database, selection).await?) {
        (Selection::All, _) => ReplayScope::All,
        (Selection::Resource { resource_key }, _) => ReplayScope::Type(*resource_key),
        (Selection::Document { uuid }, _) => ReplayScope::Document(*uuid),
        (_, Some((from, to))) => ReplayScope::Outbox(from, to),
        (_, None) => return Ok(Vec::new()),
    };
    let client = database.get().await.during(ACTION)?;
    replay::count(&client, scope).await.during(ACTION)
}

/// Returns the range of the outbox that a selection means; `None` if it means none or an empty one.
async fn outbox_span(database: &Database, selection: &Selection) -> Result<Option<(i64, i64)>, ProjectorError> {
    match *selection {
        Selection::Outbox { from, to } => Ok(Some((from, to))),
        Selection::Time { from_ms, to_ms } => {
            let client = database.get().await.during(ACTION)?;
            replay::outbox_span(&client, from_ms, to_ms).await.during(ACTION)
        }
        Selection::All | Selection::Resource { .. } | Selection::Document { .. } => Ok(None),
    }
}

/// Returns the start of a walk.
pub(super) async fn begin(database: &Database, selection: &Selection) -> Result<ReplayCursor, ProjectorError> {
    Ok(match (selection, outbox_span(database, selection).await?) {
        (_, Some((from, to))) => ReplayCursor::Outbox { after: from.saturating_sub(1), to },
        (Selection::Time { .. }, None) => ReplayCursor::End,
        _ => ReplayCursor::Documents { after: i64::MIN },
    })
}

/// Reads the page at a cursor.
pub(super) async fn read(
    database: &Database,
    aim: Aim,
    spec: &Spec,
    cursor: &ReplayCursor,
    page_size: usize,
    now_ms: u64,
) -> Result<ReplayPage, ProjectorError> {
    let client = database.get().await.during(ACTION)?;
    let limit = i64::try_from(page_size.max(1)).unwrap_or(i64::MAX);
    let (rows, next) = read_rows(&client, aim, &spec.selection, cursor, limit).await.during(ACTION)?;
    Ok(entries(&rows, spec, next, now_ms))
}

async fn read_rows(
    client: &Client,
    aim: Aim,
    selection: &Selection,
    cursor: &ReplayCursor,
    limit: i64,
) -> Result<(Vec<KnownVersion>, ReplayCursor), StoreError> {
    let resource_key = match selection {
        Selection::Resource { resource_key } => Some(*resource_key),
        _ => None,
    };
    match (cursor, selection) {
        (ReplayCursor::Documents { .. }, Selection::Document { uuid }) => {
            Ok((known_version::by_uuid(client, &[*uuid]).await?, ReplayCursor::End))
        }
        (ReplayCursor::Documents { after }, _) => {
            let uncached = aim == Aim::Cache;
            let rows = replay::documents(client, resource_key, *after, uncached, limit).await?;
            let next = match rows.last() {
                Some(last) => ReplayCursor::Documents { after: last.document_id },
                None => ReplayCursor::Tombstones { after: Uuid::nil() },
            };
            Ok((rows, next))
        }
        (ReplayCursor::Tombstones { after }, _) => {
            let rows = replay::tombstones(client, resource_key, *after, limit).await?;
            let next = rows.last().map_or(ReplayCursor::End, |last| ReplayCursor::Tombstones { after: last.uuid });
            Ok((rows, next))
        }
        (ReplayCursor::Outbox { after, to }, _) => {
            let page = replay::outbox(client, *after, *to, limit).await?;
            let next = page.last.map_or(ReplayCursor::End, |after| ReplayCursor::Outbox { after, to: *to });
            Ok((page.changes, next))
        }
        (ReplayCursor::End, _) => Ok((Vec::new(), ReplayCursor::End)),
    }
}

/// Returns entries for a page of tombstones after `after`, and the last of them; `None` at the end.
pub(crate) async fn deleted_after(
    database: &Database,
    after: Uuid,
    page_size: usize,
    now_ms: u64,
) -> Result<(Vec<Work>, Option<Uuid>), ProjectorError> {
    let spec = Spec { selection: Selection::All, per_s_max: None, repair: false, empty: false };
    let page = read(database, Aim::Cache, &spec, &ReplayCursor::Tombstones { after }, page_size, now_ms).await?;
    let last = match page.next {
        ReplayCursor::Tombstones { after } => Some(after),
        _ => None,
    };
    Ok((page.work, last))
}

/// Merges the rows into one entry per document, in the order of the rows.
fn entries(rows: &[KnownVersion], spec: &Spec, next: ReplayCursor, now_ms: u64) -> ReplayPage {
    let mut work: HashMap<i64, Work> = HashMap::with_capacity(rows.len());
    let mut order = Vec::with_capacity(rows.len());
    for row in rows {
        let KnownVersion { document_id, uuid, resource_key, version, deleted } = *row;
        let work_of_row = Work::of_row(document_id, uuid, resource_key, version, deleted, now_ms);
        let entry = Work { repair: spec.repair, ..work_of_row };
        match work.get_mut(&entry.document_id) {
            Some(earlier) => earlier.absorb(&entry),
            None => {
                order.push(entry.document_id);
                work.insert(entry.document_id, entry);
            }
        }
    }
    let work: Vec<Work> = order.iter().filter_map(|id| work.remove(id)).collect();
    let existing = work.iter().filter(|work| !work.deleted).map(|work| work.document_id).collect();
    ReplayPage { work, existing, rows: rows.len() as u64, next }
}
