//! One page of one cascade, in one transaction.
//!
//! A row of `dms.Cascade` says: document m was renamed at version c, and its referrers beyond `Cursor` have not been
//! reached. A page takes the next referrers in key order, stamps those whose version is below c with **c itself**, leaves a
//! `touch` in the outbox for each, and moves the cursor, all or nothing: a crash repeats a page and finds nothing to do
//! (docs/design/rules.md#rule-2).
//!
//! Why c and not a version of its own: readers have been shown the referrers under c since the rename became visible
//! (the effective version,
//! docs/design/rules.md#rule-3), so the stamp changes no etag. Why no `FOR SHARE` on the renamed document: renames
//! become visible in the order of their versions, and any writer of a referrer holds the renamed document's lock while
//! it draws, so its version is above c and `< c` passes it by. For the same reason the edge needs no second look once
//! the row is locked: a document that was pointed elsewhere meanwhile is above c too.

use crate::error::ProjectorError;
use millstream_pipeline::{ChangeKind, NewChange};
use millstream_store::connect::{Database, Transaction};
use millstream_store::error::StoreError;
use millstream_store::retry::{RetryPolicy, with_retry};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};

const ACTION: &str = "working off a page of a cascade";

/// The oldest open cascade that nobody else works on. Versions of renames become visible in order, so the lowest
/// version is the oldest.
const TAKE_SQL: &str = r#"
SELECT "DocumentId", "ContentVersion", "Cursor" FROM "dms"."Cascade"
ORDER BY "ContentVersion", "DocumentId" LIMIT 1 FOR UPDATE SKIP LOCKED"#;

const REFERRERS_SQL: &str = r#"
SELECT "ParentDocumentId" FROM "dms"."ReferenceEdge"
WHERE "ChildDocumentId" = $1::int8 AND "ParentDocumentId" > $2::int8
ORDER BY "ParentDocumentId" LIMIT $3::int8"#;

/// Ascending, as every transaction locks documents.
const LOCK_SQL: &str = r#"
SELECT "DocumentId" FROM "dms"."Document"
WHERE "DocumentId" = ANY($1::int8[]) AND "ContentVersion" < $2::int8
ORDER BY "DocumentId" FOR NO KEY UPDATE"#;

/// A statement of its own after the locks are held, so that it compares with the rows as they are now.
const STAMP_SQL: &str = r#"
UPDATE "dms"."Document" d
SET "ContentVersion" = k."ContentVersion", "LastModifiedAt" = greatest(d."LastModifiedAt", k."OpenedAt")
FROM "dms"."Cascade" k
WHERE k."DocumentId" = $1::int8 AND k."ContentVersion" = $2::int8
  AND d."DocumentId" = ANY($3::int8[]) AND d."ContentVersion" < k."ContentVersion"
RETURNING d."DocumentId", d."DocumentUuid", d."ResourceKeyId""#;

const MOVE_SQL: &str = r#"
UPDATE "dms"."Cascade" SET "Cursor" = $3::int8 WHERE "DocumentId" = $1::int8 AND "ContentVersion" = $2::int8"#;

const FINISH_SQL: &str = r#"
DELETE FROM "dms"."Cascade" WHERE "DocumentId" = $1::int8 AND "ContentVersion" = $2::int8"#;

/// What one transaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CascadePage {
    /// The renamed document.
    pub document_id: i64,
    /// The version of its rename.
    pub version: i64,
    /// Referrers looked at.
    pub looked_at: usize,
    /// Those that were below the version and carry it now.
    pub stamped: usize,
    /// It was the last page: the cascade is closed.
    pub finished: bool,
}

/// Works off one page of the oldest open cascade that no other worker holds. `None`: there is none.
///
/// One transaction; deadlocks and serialization failures are retried as everywhere. An error leaves the cascade as it
/// was.
pub async fn work_off_page(database: &Database, page_size: usize) -> Result<Option<CascadePage>, ProjectorError> {
    let page = with_retry(&RetryPolicy::default(), "cascade page", |_| async {
        let mut client = database.get().await.map_err(ProjectorError::database(ACTION))?;
        let tx = client.transaction().await.map_err(ProjectorError::database(ACTION))?;
        let page = page(&tx, page_size).await?;
        tx.commit().await.map_err(ProjectorError::database(ACTION))?;
        Ok(page)
    })
    .await?;
    Ok(page)
}

async fn page(tx: &Transaction<'_>, page_size: usize) -> Result<Option<CascadePage>, ProjectorError> {
    let open = query(tx, TAKE_SQL, &[]).await?;
    let Some(open) = open.first() else { return Ok(None) };
    let (document_id, version, cursor): (i64, i64, i64) = (column(open, 0)?, column(open, 1)?, column(open, 2)?);

    let limit = i64::try_from(page_size.max(1)).unwrap_or(i64::MAX);
    let referrers = ids(&query(tx, REFERRERS_SQL, &[&document_id, &cursor, &limit]).await?)?;
    let below = match referrers.is_empty() {
        true => Vec::new(),
        false => ids(&query(tx, LOCK_SQL, &[&referrers, &version]).await?)?,
    };
    let stamped = stamp(tx, document_id, version, &below).await?;
    if stamped != below.len() {
        // The rows were locked below the version in this transaction: nobody else can have moved them.
        let problem = format!("{} referrers were locked, {stamped} were stamped", below.len());
        return Err(ProjectorError::database(ACTION)(StoreError::other(problem)));
    }

    let finished = referrers.len() < page_size.max(1);
    match referrers.last() {
        Some(last) if !finished => execute(tx, MOVE_SQL, &[&document_id, &version, last]).await?,
        _ => execute(tx, FINISH_SQL, &[&document_id, &version]).await?,
    };
    Ok(Some(CascadePage { document_id, version, looked_at: referrers.len(), stamped, finished }))
}

/// Gives the locked referrers the cascade's version and leaves a change record for each.
async fn stamp(tx: &Transaction<'_>, cascade: i64, version: i64, below: &[i64]) -> Result<usize, ProjectorError> {
    if below.is_empty() {
        return Ok(0);
    }
    let rows = query(tx, STAMP_SQL, &[&cascade, &version, &below]).await?;
    let touches = rows
        .iter()
        .map(|row| {
            Ok(NewChange {
                document_id: column(row, 0)?,
                document_uuid: column(row, 1)?,
                resource_key: column(row, 2)?,
                kind: ChangeKind::Touch,
                content_version: version,
            })
        })
        .collect::<Result<Vec<_>, ProjectorError>>()?;
    millstream_outbox::append(&**tx, &touches).await.map_err(ProjectorError::outbox(ACTION))?;
    Ok(touches.len())
}

async fn query(tx: &Transaction<'_>, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, ProjectorError> {
    let statement = tx.prepare_cached(sql).await.map_err(ProjectorError::database(ACTION))?;
    tx.query(&statement, params).await.map_err(ProjectorError::database(ACTION))
}

async fn execute(tx: &Transaction<'_>, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, ProjectorError> {
    let statement = tx.prepare_cached(sql).await.map_err(ProjectorError::database(ACTION))?;
    tx.execute(&statement, params).await.map_err(ProjectorError::database(ACTION))
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, ProjectorError> {
    row.try_get(at).map_err(ProjectorError::database(ACTION))
}

fn ids(rows: &[Row]) -> Result<Vec<i64>, ProjectorError> {
    rows.iter().map(|row| column(row, 0)).collect()
}
