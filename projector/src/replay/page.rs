//! One page of a replay: who comes next, and what is owed to them.

use super::job::Place;
use super::{Aim, Selection, Spec};
use crate::error::ProjectorError;
use millstream_pipeline::queue::Work;
use millstream_store::connect::Database;
use std::collections::HashMap;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

const ACTION: &str = "reading what is to be replayed";

/// `$3`: also what the cache does not hold.
const DOCUMENTS_SQL: &str = r#"
SELECT d."DocumentId", d."DocumentUuid", d."ResourceKeyId", d."ContentVersion", false
FROM "dms"."Document" d
WHERE d."DocumentId" > $1::int8
  AND ($3::bool OR EXISTS (SELECT FROM "dms"."DocumentCache" c WHERE c."DocumentId" = d."DocumentId"))
ORDER BY d."DocumentId" LIMIT $2::int8"#;

/// As above, of one type: a statement of its own, so that it walks the index of the types.
const DOCUMENTS_OF_TYPE_SQL: &str = r#"
SELECT d."DocumentId", d."DocumentUuid", d."ResourceKeyId", d."ContentVersion", false
FROM "dms"."Document" d
WHERE d."ResourceKeyId" = $3::int2 AND d."DocumentId" > $1::int8
  AND ($4::bool OR EXISTS (SELECT FROM "dms"."DocumentCache" c WHERE c."DocumentId" = d."DocumentId"))
ORDER BY d."DocumentId" LIMIT $2::int8"#;

const DOCUMENT_SQL: &str = r#"
SELECT "DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", false
FROM "dms"."Document" WHERE "DocumentUuid" = $1
UNION ALL
SELECT "DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", true
FROM "dms"."Tombstone" WHERE "DocumentUuid" = $1"#;

const TOMBSTONES_SQL: &str = r#"
SELECT t."DocumentId", t."DocumentUuid", t."ResourceKeyId", t."ContentVersion", true
FROM "dms"."Tombstone" t
WHERE t."DocumentUuid" > $1::uuid AND ($3::int2 IS NULL OR t."ResourceKeyId" = $3::int2)
ORDER BY t."DocumentUuid" LIMIT $2::int8"#;

const OUTBOX_SQL: &str = r#"
SELECT o."DocumentId", o."DocumentUuid", o."ResourceKeyId", o."ContentVersion", o."Kind" = 'delete', o."OutboxId"
FROM "dms"."Outbox" o WHERE o."OutboxId" > $1::int8 AND o."OutboxId" <= $3::int8
ORDER BY o."OutboxId" LIMIT $2::int8"#;

const SPAN_SQL: &str = r#"
SELECT min(o."OutboxId"), max(o."OutboxId") FROM "dms"."Outbox" o
WHERE o."CreatedAt" BETWEEN to_timestamp($1::float8 / 1000) AND to_timestamp($2::float8 / 1000)"#;

/// What one page owes.
pub(super) struct Page {
    pub(super) work: Vec<Work>,
    /// Documents of the page that live.
    pub(super) living: Vec<i64>,
    /// Entries as the total counts them: every change record is one, a document may have many.
    pub(super) rows: u64,
    /// Where the next page begins.
    pub(super) next: Place,
}

/// How many documents of one type a selection names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// `ResourceKeyId` of the type.
    pub resource_key: i16,
    /// Documents, or change records where the outbox is walked.
    pub written: u64,
    /// Deletes of them.
    pub deleted: u64,
}

impl Counted {
    /// Both.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.written + self.deleted
    }
}

/// How many entries a replay of this selection would put, by type, largest first.
///
/// # Errors
/// When the database refuses.
pub async fn count(database: &Database, selection: &Selection) -> Result<Vec<Counted>, ProjectorError> {
    const DOCUMENTS: &str = r#"SELECT "ResourceKeyId" AS k, false AS gone FROM "dms"."Document""#;
    const TOMBSTONES: &str = r#"SELECT "ResourceKeyId", true FROM "dms"."Tombstone""#;
    const OUTBOX: &str = r#"SELECT "ResourceKeyId" AS k, "Kind" = 'delete' AS gone FROM "dms"."Outbox""#;
    let both = |condition: &str| format!("{DOCUMENTS} {condition} UNION ALL {TOMBSTONES} {condition}");
    let span = span(database, selection).await?;
    let (rows, params): (String, Vec<&(dyn ToSql + Sync)>) = match (selection, &span) {
        (Selection::All, _) => (both(""), Vec::new()),
        (Selection::Resource { resource_key }, _) => (both(r#"WHERE "ResourceKeyId" = $1"#), vec![resource_key]),
        (Selection::Document { uuid }, _) => (both(r#"WHERE "DocumentUuid" = $1"#), vec![uuid]),
        (_, Some((from, to))) => (format!(r#"{OUTBOX} WHERE "OutboxId" BETWEEN $1 AND $2"#), vec![from, to]),
        (_, None) => return Ok(Vec::new()),
    };
    let sql = format!(
        "SELECT k, count(*) FILTER (WHERE NOT gone), count(*) FILTER (WHERE gone) \
                       FROM ({rows}) AS r GROUP BY k ORDER BY count(*) DESC, k"
    );
    let client = database.get().await.map_err(ProjectorError::database(ACTION))?;
    let rows = client.query(&sql, &params).await.map_err(ProjectorError::database(ACTION))?;
    let counted = |row: &Row| -> Result<Counted, Error> {
        let number = |at| row.try_get::<_, i64>(at).map(|number| number.max(0) as u64);
        Ok(Counted { resource_key: row.try_get(0)?, written: number(1)?, deleted: number(2)? })
    };
    rows.iter().map(counted).collect::<Result<_, _>>().map_err(ProjectorError::database(ACTION))
}

/// The range of the outbox that a selection means, if it means one that is not empty.
async fn span(database: &Database, selection: &Selection) -> Result<Option<(i64, i64)>, ProjectorError> {
    match *selection {
        Selection::Outbox { from, to } => Ok(Some((from, to))),
        Selection::Time { from_ms, to_ms } => {
            let client = database.get().await.map_err(ProjectorError::database(ACTION))?;
            let params: [&(dyn ToSql + Sync); 2] = [&(from_ms as f64), &(to_ms as f64)];
            let row = client.query_one(SPAN_SQL, &params).await.map_err(ProjectorError::database(ACTION))?;
            let end = |at| row.try_get::<_, Option<i64>>(at).map_err(ProjectorError::database(ACTION));
            Ok(end(0)?.zip(end(1)?))
        }
        Selection::All | Selection::Resource { .. } | Selection::Document { .. } => Ok(None),
    }
}

/// Where a walk begins.
pub(super) async fn begin(database: &Database, selection: &Selection) -> Result<Place, ProjectorError> {
    Ok(match (selection, span(database, selection).await?) {
        (_, Some((from, to))) => Place::Outbox { after: from.saturating_sub(1), to },
        (Selection::Time { .. }, None) => Place::End,
        _ => Place::Documents { after: i64::MIN },
    })
}

/// Reads the page at a place.
pub(super) async fn read(
    database: &Database,
    aim: Aim,
    spec: &Spec,
    place: &Place,
    page: usize,
    now_ms: u64,
) -> Result<Page, ProjectorError> {
    let client = database.get().await.map_err(ProjectorError::database(ACTION))?;
    let (limit, uncached) = (i64::try_from(page.max(1)).unwrap_or(i64::MAX), aim == Aim::Cache);
    let resource_key = match spec.selection {
        Selection::Resource { resource_key } => Some(resource_key),
        _ => None,
    };
    let (sql, params): (&str, Vec<&(dyn ToSql + Sync)>) = match (place, &spec.selection) {
        (Place::Documents { .. }, Selection::Document { uuid }) => (DOCUMENT_SQL, vec![uuid]),
        (Place::Documents { after }, Selection::Resource { resource_key }) => {
            (DOCUMENTS_OF_TYPE_SQL, vec![after, &limit, resource_key, &uncached])
        }
        (Place::Documents { after }, _) => (DOCUMENTS_SQL, vec![after, &limit, &uncached]),
        (Place::Tombstones { after }, _) => (TOMBSTONES_SQL, vec![after, &limit, &resource_key]),
        (Place::Outbox { after, to }, _) => (OUTBOX_SQL, vec![after, &limit, to]),
        (Place::End, _) => return Ok(Page { work: Vec::new(), living: Vec::new(), rows: 0, next: Place::End }),
    };
    let statement = client.prepare_cached(sql).await.map_err(ProjectorError::database(ACTION))?;
    let rows = client.query(&statement, &params).await.map_err(ProjectorError::database(ACTION))?;
    owed(&rows, spec, place, now_ms).map_err(ProjectorError::database(ACTION))
}

/// Entries for a page of the documents that were deleted, behind `after`, and the last of them: none when there are no more.
pub(crate) async fn deleted_after(
    database: &Database,
    after: Uuid,
    page: usize,
    now_ms: u64,
) -> Result<(Vec<Work>, Option<Uuid>), ProjectorError> {
    let spec = Spec { selection: Selection::All, per_s_max: None, repair: false, empty: false };
    let page = read(database, Aim::Cache, &spec, &Place::Tombstones { after }, page, now_ms).await?;
    let last = match page.next {
        Place::Tombstones { after } => Some(after),
        _ => None,
    };
    Ok((page.work, last))
}

fn owed(rows: &[Row], spec: &Spec, place: &Place, now_ms: u64) -> Result<Page, Error> {
    let mut work: HashMap<i64, Work> = HashMap::with_capacity(rows.len());
    let mut order = Vec::with_capacity(rows.len());
    for row in rows {
        let deleted: bool = row.try_get(4)?;
        let one = Work {
            document_id: row.try_get(0)?,
            document_uuid: row.try_get(1)?,
            resource_key: row.try_get(2)?,
            version: row.try_get(3)?,
            // The row was seen, so whatever wrote it is visible.
            xid: 0,
            deleted,
            rebuild: !deleted,
            cascade: false,
            repair: spec.repair,
            low_priority: true,
            attempts: 0,
            first_enqueued_at_ms: now_ms,
            not_before_ms: 0,
        };
        match work.get_mut(&one.document_id) {
            Some(earlier) => earlier.absorb(&one),
            None => {
                order.push(one.document_id);
                work.insert(one.document_id, one);
            }
        }
    }
    let work: Vec<Work> = order.iter().filter_map(|id| work.remove(id)).collect();
    let living = work.iter().filter(|work| !work.deleted).map(|work| work.document_id).collect();
    Ok(Page { work, living, rows: rows.len() as u64, next: next(rows.last(), spec, place)? })
}

/// The place behind the last row of a page.
fn next(last: Option<&Row>, spec: &Spec, place: &Place) -> Result<Place, Error> {
    Ok(match (place, last) {
        (Place::Documents { .. }, Some(_)) if matches!(spec.selection, Selection::Document { .. }) => Place::End,
        (Place::Documents { .. }, Some(last)) => Place::Documents { after: last.try_get(0)? },
        (Place::Documents { .. }, None) if matches!(spec.selection, Selection::Document { .. }) => Place::End,
        (Place::Documents { .. }, None) => Place::Tombstones { after: Uuid::nil() },
        (Place::Tombstones { .. }, Some(last)) => Place::Tombstones { after: last.try_get(1)? },
        (Place::Outbox { to, .. }, Some(last)) => Place::Outbox { after: last.try_get(5)?, to: *to },
        (Place::Tombstones { .. } | Place::Outbox { .. }, None) | (Place::End, _) => Place::End,
    })
}
