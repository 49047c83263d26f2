//! Writing `dms.DocumentCache`: what is stored only ever gets newer (MONOTONIC), and never under a wrong version.
//!
//! One statement stores a whole batch. It joins `dms.Document` on DocumentId and ContentVersion under a key-share lock,
//! so a body that was overtaken meanwhile does not join and is not stored, and a document cannot be deleted between the
//! check and the write. Run it at `READ COMMITTED`, as a statement of its own: within a transaction, two sessions that
//! store the same new document at the same moment can end one of them with a unique violation, which as a statement of
//! its own is tried again here.

use crate::compose::body_hash;
use crate::error::{ErrorKind, StoreError};
use crate::load::{DocumentHead, query_cached};
use bytes::BytesMut;
use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use std::collections::HashMap;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// How often a batch is tried again because rows vanished from the cache while it was stored, or came into it.
const ATTEMPTS_MAX: u32 = 4;

/// `ON CONFLICT` arbitrates over the primary key alone. Of two sessions that store the same new document at the same
/// time, the second can pass that check and still meet the first in this index.
const UUID_CONSTRAINT: &str = "UX_DocumentCache_DocumentUuid";

/// A body to store, under the version of the snapshot that it was composed in.
#[derive(Debug, Clone, Copy)]
pub struct CacheRow<'a> {
    /// The document as the snapshot saw it.
    pub head: &'a DocumentHead,
    /// The stored body.
    pub body: &'a [u8],
}

/// What to do about a cached body that has the same version and other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameVersion {
    /// Leave it alone and say so.
    Keep,
    /// Overwrite it: it is damaged.
    Repair,
}

/// What became of one body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheOutcome {
    /// It is in the cache now.
    Stored,
    /// The document, or what the cache holds of it, is newer, or the document is gone. Not an error: another change
    /// brings another body.
    Superseded,
    /// The cache held it already.
    Unchanged,
    /// The cache held other bytes at this version; they are overwritten.
    Repaired,
    /// The cache holds other bytes at this version; they were left alone, as [`SameVersion::Keep`] asked for.
    Differs,
}

/// The ids stand beside the join once more, and the cached row is looked up by itself, so that the primary keys are used
/// even if the plan was made while the tables were empty: a hash join would read all of `dms.Document` for each batch.
const STORE_SQL: &str = r#"WITH incoming AS (
  SELECT * FROM unnest($1::int8[], $2::int8[], $3::timestamptz[], $4::text[], $5::bytea[])
    AS u("DocumentId", "ContentVersion", "LastModifiedAt", "Body", "BodyHash")
), locked AS (
  SELECT d."DocumentId", d."DocumentUuid", d."ResourceKeyId", u."ContentVersion", u."LastModifiedAt", u."Body", u."BodyHash",
         coalesce(c."ContentVersion" = u."ContentVersion", false) AS "Repair"
    FROM incoming u
    JOIN "dms"."Document" d ON d."DocumentId" = u."DocumentId" AND d."ContentVersion" = u."ContentVersion"
    LEFT JOIN LATERAL (SELECT k."DocumentId", k."ContentVersion", k."BodyHash", k."Body"
                         FROM "dms"."DocumentCache" k WHERE k."DocumentId" = d."DocumentId" LIMIT 1) c ON true
   WHERE d."DocumentId" = ANY((SELECT $1::int8[])::int8[])
     AND (c."DocumentId" IS NULL OR c."ContentVersion" < u."ContentVersion"
          OR ($6::bool AND c."ContentVersion" = u."ContentVersion"
              AND (c."BodyHash" IS DISTINCT FROM u."BodyHash" OR c."Body" IS DISTINCT FROM u."Body")))
   ORDER BY d."DocumentId"
     FOR KEY SHARE OF d
), stored AS (
  INSERT INTO "dms"."DocumentCache" AS c
         ("DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", "LastModifiedAt", "Body", "BodyHash", "ComputedAt")
  SELECT "DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", "LastModifiedAt", "Body", "BodyHash", clock_timestamp()
    FROM locked
  ON CONFLICT ("DocumentId") DO UPDATE
     SET "DocumentUuid" = excluded."DocumentUuid", "ResourceKeyId" = excluded."ResourceKeyId",
         "ContentVersion" = excluded."ContentVersion", "LastModifiedAt" = excluded."LastModifiedAt",
         "Body" = excluded."Body", "BodyHash" = excluded."BodyHash", "ComputedAt" = excluded."ComputedAt"
   WHERE c."ContentVersion" < excluded."ContentVersion"
      OR ($6::bool AND c."ContentVersion" = excluded."ContentVersion"
          AND (c."BodyHash" IS DISTINCT FROM excluded."BodyHash" OR c."Body" IS DISTINCT FROM excluded."Body"))
  RETURNING "DocumentId"
)
SELECT "DocumentId", locked."Repair" FROM stored JOIN locked USING ("DocumentId")"#;

/// Why bodies were not stored. A statement of its own, so that it sees what the first one ran into.
const EXPLAIN_SQL: &str = r#"SELECT u."DocumentId",
       d."DocumentId" IS NULL OR d."ContentVersion" > u."ContentVersion" OR coalesce(c."ContentVersion" > u."ContentVersion", false),
       coalesce(c."ContentVersion" = u."ContentVersion", false),
       coalesce(c."BodyHash" = u."BodyHash", false)
  FROM unnest($1::int8[], $2::int8[], $3::bytea[]) AS u("DocumentId", "ContentVersion", "BodyHash")
  LEFT JOIN "dms"."Document" d ON d."DocumentId" = u."DocumentId"
  LEFT JOIN "dms"."DocumentCache" c ON c."DocumentId" = u."DocumentId""#;

/// Stores bodies; says what became of each, in the order given.
///
/// A head whose effective version is above its own is not stored
/// (docs/design/rules.md#rule-5), and of several bodies of one document
/// only the newest is.
pub async fn upsert<C: GenericClient>(
    client: &C,
    rows: &[CacheRow<'_>],
    same_version: SameVersion,
) -> Result<Vec<CacheOutcome>, StoreError> {
    let mut outcomes = vec![CacheOutcome::Superseded; rows.len()];
    let mut open = newest_of_each(rows);
    let hashes: HashMap<usize, [u8; 16]> = open.iter().map(|at| (*at, body_hash(rows[*at].body))).collect();
    let mut collision = None;
    for _ in 0..ATTEMPTS_MAX {
        if open.is_empty() {
            return Ok(outcomes);
        }
        let stored = match Columns::of(rows, &open, &hashes).store(client, same_version).await {
            Ok(stored) => stored,
            Err(error) if is_collision(&error) => {
                collision = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        open.retain(|at| match stored.get(&rows[*at].head.document_id) {
            Some(repaired) => {
                outcomes[*at] = if *repaired { CacheOutcome::Repaired } else { CacheOutcome::Stored };
                false
            }
            None => true,
        });
        if open.is_empty() {
            return Ok(outcomes);
        }
        let reasons = Columns::of(rows, &open, &hashes).explain(client).await?;
        open.retain(|at| match reasons.get(&rows[*at].head.document_id) {
            Some(outcome) => {
                outcomes[*at] = *outcome;
                false
            }
            None => true,
        });
    }
    Err(collision.unwrap_or_else(|| {
        StoreError::other(format!(
            "{} rows vanished from dms.DocumentCache while they were being stored: something else is emptying the cache",
            open.len()
        ))
    }))
}

fn is_collision(error: &StoreError) -> bool {
    matches!(error.kind(), ErrorKind::UniqueViolation { constraint } if constraint == UUID_CONSTRAINT)
}

/// Indexes of what may be stored, ascending by document: locks are taken in one order by everybody.
fn newest_of_each(rows: &[CacheRow<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.len()).filter(|at| !rows[*at].head.is_overtaken()).collect();
    order.sort_by_key(|at| (rows[*at].head.document_id, std::cmp::Reverse(rows[*at].head.content_version)));
    order.dedup_by_key(|at| rows[*at].head.document_id);
    order
}

/// A batch as the arrays that the statements take.
struct Columns<'a> {
    ids: Vec<i64>,
    versions: Vec<i64>,
    modified: Vec<Timestamp>,
    bodies: Vec<JsonText<'a>>,
    hashes: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn of(rows: &[CacheRow<'a>], chosen: &[usize], hashes: &'a HashMap<usize, [u8; 16]>) -> Self {
        let heads = || chosen.iter().map(|at| rows[*at].head);
        Self {
            ids: heads().map(|head| head.document_id).collect(),
            versions: heads().map(|head| head.content_version).collect(),
            modified: heads().map(|head| head.last_modified).collect(),
            bodies: chosen.iter().map(|at| JsonText(rows[*at].body)).collect(),
            hashes: chosen.iter().filter_map(|at| Some(hashes.get(at)?.as_slice())).collect(),
        }
    }

    /// Stores what may be stored: document → an equal version was overwritten.
    async fn store<C: GenericClient>(
        &self,
        client: &C,
        same_version: SameVersion,
    ) -> Result<HashMap<i64, bool>, StoreError> {
        let repair = same_version == SameVersion::Repair;
        let rows = query_cached(
            client,
            STORE_SQL,
            &[&self.ids, &self.versions, &self.modified, &self.bodies, &self.hashes, &repair],
        )
        .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Why these were not stored. A document without an entry may be stored after all.
    async fn explain<C: GenericClient>(&self, client: &C) -> Result<HashMap<i64, CacheOutcome>, StoreError> {
        let rows = query_cached(client, EXPLAIN_SQL, &[&self.ids, &self.versions, &self.hashes]).await?;
        let mut reasons = HashMap::with_capacity(rows.len());
        for row in &rows {
            let (superseded, same_version, same_hash): (bool, bool, bool) =
                (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            let outcome = match (superseded, same_version, same_hash) {
                (true, _, _) => CacheOutcome::Superseded,
                (false, true, true) => CacheOutcome::Unchanged,
                (false, true, false) => CacheOutcome::Differs,
                (false, false, _) => continue,
            };
            reasons.insert(row.try_get(0)?, outcome);
        }
        Ok(reasons)
    }
}

/// JSON bytes bound as `text`. The server checks the encoding.
#[derive(Debug)]
struct JsonText<'a>(&'a [u8]);

impl ToSql for JsonText<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TEXT
    }

    to_sql_checked!();
}
