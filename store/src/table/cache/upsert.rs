//! Storing bodies: a cached version only ever increases (MONOTONIC), and no body is stored under another version.
//!
//! One statement stores a whole batch. It joins `dms.Document` on DocumentId and ContentVersion under a key-share lock:
//! a body that was overtaken meanwhile does not join and is not stored, and a document cannot be deleted between the
//! check and the write. Run it at `READ COMMITTED`, outside a transaction: two sessions that store the same new
//! document at the same moment can end one of them with a unique violation, which is retried here only as a statement
//! of its own.

use crate::compose::body_hash;
use crate::connect::GenericClient;
use crate::error::{ErrorKind, StoreError};
use crate::load::DocumentHead;
use crate::table::query::{query_cached, read_rows, row_struct, sql};
use bytes::BytesMut;
use jiff::Timestamp;
use std::collections::HashMap;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// Attempts at a batch while other sessions remove its rows from the cache or add them.
const ATTEMPTS_MAX: u32 = 4;

/// `ON CONFLICT` arbitrates over the primary key alone. Of two sessions that store the same new document at the same
/// time, the second can pass that check and still conflict with the first in this index.
const UUID_CONSTRAINT: &str = "UX_DocumentCache_DocumentUuid";

/// A body to store, under the version of the snapshot that it was composed in.
#[derive(Debug, Clone, Copy)]
pub struct CacheRow<'a> {
    /// The document as the snapshot saw it.
    pub head: &'a DocumentHead,
    /// The stored body.
    pub body: &'a [u8],
}

/// The treatment of a cached body that has the same version and other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameVersion {
    /// Keep it and report it.
    Keep,
    /// Overwrite it: the cached bytes are damaged.
    Repair,
}

/// The outcome for one body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheOutcome {
    /// The body is in the cache now.
    Stored,
    /// The document or its cached body is newer, or the document is gone. Not an error: a later change brings a later
    /// body.
    Superseded,
    /// The cache already held this body.
    Unchanged,
    /// The cache held other bytes at this version; they were overwritten.
    Repaired,
    /// The cache holds other bytes at this version; they were kept ([`SameVersion::Keep`]).
    Differs,
}

const STORE_SQL: &str = sql!("cache_upsert.sql");

/// Explains why bodies were not stored. A separate statement, so that it sees what the first one conflicted with.
const EXPLAIN_SQL: &str = sql!("cache_explain.sql");

/// Stores bodies and returns the outcome for each, in the order given.
///
/// A head whose effective version is above its own is not stored (docs/design/rules.md#rule-5); of several bodies of
/// one document only the newest is.
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
        let stored = match BatchArrays::of(rows, &open, &hashes).store(client, same_version).await {
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
        let reasons = BatchArrays::of(rows, &open, &hashes).explain(client).await?;
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

/// Indexes of the rows that may be stored, ascending by document: every session locks in this order.
fn newest_of_each(rows: &[CacheRow<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.len()).filter(|at| !rows[*at].head.is_overtaken()).collect();
    order.sort_by_key(|at| (rows[*at].head.document_id, std::cmp::Reverse(rows[*at].head.content_version)));
    order.dedup_by_key(|at| rows[*at].head.document_id);
    order
}

row_struct! {
    /// A stored document.
    struct StoredRow {
        document_id: i64 = "DocumentId",
        /// An equal version was overwritten.
        repaired: bool = "Repaired",
    }
}

row_struct! {
    /// Why a document was not stored.
    struct UnstoredRow {
        document_id: i64 = "DocumentId",
        superseded: bool = "Superseded",
        same_version: bool = "SameVersion",
        same_hash: bool = "SameHash",
    }
}

/// A batch as the arrays that the statements take.
struct BatchArrays<'a> {
    ids: Vec<i64>,
    versions: Vec<i64>,
    modified: Vec<Timestamp>,
    bodies: Vec<JsonText<'a>>,
    hashes: Vec<&'a [u8]>,
}

impl<'a> BatchArrays<'a> {
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

    /// Stores the batch. Returns the stored documents, each with whether an equal version was overwritten.
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
        Ok(read_rows(&rows)?.into_iter().map(|row: StoredRow| (row.document_id, row.repaired)).collect())
    }

    /// Returns why these were not stored. A document without an entry can be stored in another attempt.
    async fn explain<C: GenericClient>(&self, client: &C) -> Result<HashMap<i64, CacheOutcome>, StoreError> {
        let rows = query_cached(client, EXPLAIN_SQL, &[&self.ids, &self.versions, &self.hashes]).await?;
        let mut reasons = HashMap::with_capacity(rows.len());
        for row in read_rows::<UnstoredRow>(&rows)? {
            let outcome = match (row.superseded, row.same_version, row.same_hash) {
                (true, _, _) => CacheOutcome::Superseded,
                (false, true, true) => CacheOutcome::Unchanged,
                (false, true, false) => CacheOutcome::Differs,
                (false, false, _) => continue,
            };
            reasons.insert(row.document_id, outcome);
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
