//! The locks of docs/design/rules.md#rule-1, in one place.
//!
//! A writer of R holds `FOR SHARE` on the IdentityLock of every changeable document that R refers to before or after the
//! write. Only documents of changeable types have an IdentityLock row, so joining with that table is the filter. A
//! renamer holds `FOR UPDATE` on the closure. Overlapping sharers would starve it for ever, so sharers pass a turnstile
//! (shared, for the time of their lock statement) that a renamer holds (exclusively) until it has all its row locks.

use super::{Pipeline, params};

/// Session-level advisory lock that sharers pass and renamers hold while they collect row locks.
pub(crate) const TURNSTILE_LOCK: i64 = 0x6d73_7475_726e;
/// Transaction-level advisory lock of the whole database: renames become visible in the order of their versions.
pub(crate) const RENAME_LOCK: i64 = 0x6d73_7265_6e61;

/// Ids of the share-locked documents: `$1` references after the write, plus what `$2` refers to now, ascending. All in one
/// array, which leads to the primary key whatever the planner knows of the table: an `OR` would read all of it.
const SHARE: &str = r#"SELECT l."DocumentId" FROM "dms"."IdentityLock" l WHERE l."DocumentId" = ANY(ARRAY(SELECT unnest($1::int8[])
 UNION ALL SELECT e."ChildDocumentId" FROM "dms"."ReferenceEdge" e WHERE e."ParentDocumentId" = ANY((SELECT $2::int8[])::int8[])))
 ORDER BY l."DocumentId" FOR SHARE OF l"#;

/// Adds the share locks of a write, through the turnstile. `own` is the document's id if it exists already; `delete`
/// also takes its own IdentityLock exclusively
/// (docs/design/rules.md#rule-11). Returns the place of the answer: the locked ids.
pub(crate) fn share_locks(pipeline: &mut Pipeline<'_>, references: Vec<i64>, own: Option<i64>, delete: bool) -> usize {
    pipeline.add("SELECT pg_advisory_lock_shared($1)", params![TURNSTILE_LOCK]);
    let own: Vec<i64> = own.into_iter().collect();
    let place = add_share(pipeline, references, own.clone());
    if delete {
        let sql = r#"SELECT 1 FROM "dms"."IdentityLock" WHERE "DocumentId" = ANY($1::int8[]) FOR UPDATE"#;
        pipeline.add(sql, params![own]);
    }
    pipeline.add("SELECT pg_advisory_unlock_shared($1)", params![TURNSTILE_LOCK]);
    place
}

/// Adds the share locks alone, for a renamer that holds the turnstile already. Returns the place of the locked ids.
pub(crate) fn add_share(pipeline: &mut Pipeline<'_>, references: Vec<i64>, referrers: Vec<i64>) -> usize {
    pipeline.add(SHARE, params![references, referrers])
}
