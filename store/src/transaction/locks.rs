//! The locks of docs/design/rules.md#rule-1, in one place.
//!
//! A writer of R holds `FOR SHARE` on the IdentityLock of every changeable document that R refers to before or after
//! the write. A renamer holds `FOR UPDATE` on the closure. Overlapping sharers would starve it, so sharers pass a
//! turnstile (shared, for the duration of their lock statement) that a renamer holds (exclusively) until it has all its
//! row locks.

use std::time::Duration;

use super::pipeline::{Pipeline, StatementRef, params};
use crate::connect::milliseconds;
use crate::table::identity_lock::{self, LockedIdentity};

/// Session-level advisory lock that sharers pass and renamers hold while they collect row locks.
const TURNSTILE_LOCK: i64 = 0x6d73_7475_726e;
/// Transaction-level advisory lock of the whole database: renames become visible in the order of their versions.
pub(crate) const RENAME_LOCK: i64 = 0x6d73_7265_6e61;

/// Adds the share locks of a write, through the turnstile; the answer is the locked ids. `current` are the documents to
/// be written that exist already; `delete` also locks their own IdentityLock exclusively
/// (docs/design/rules.md#rule-11).
pub fn share_locks(
    pipeline: &mut Pipeline<'_>,
    references: Vec<i64>,
    current: Vec<i64>,
    delete: bool,
) -> StatementRef<LockedIdentity> {
    pipeline.execute("SELECT pg_advisory_lock_shared($1)", params![TURNSTILE_LOCK]);
    let locked = identity_lock::lock_shared(pipeline, references, current.clone());
    if delete {
        identity_lock::lock_own(pipeline, current);
    }
    pipeline.execute("SELECT pg_advisory_unlock_shared($1)", params![TURNSTILE_LOCK]);
    locked
}

/// Adds a limit on each wait for a lock in the rest of the transaction.
pub fn limit_lock_waits(pipeline: &mut Pipeline<'_>, limit: Duration) {
    let limit = milliseconds(limit).to_string();
    pipeline.execute("SELECT set_config('lock_timeout', $1, true)", params![limit]);
}

/// Adds the exclusive lock of the turnstile: from here on no sharer takes a row lock.
pub fn lock_turnstile(pipeline: &mut Pipeline<'_>) {
    pipeline.execute("SELECT pg_advisory_lock($1)", params![TURNSTILE_LOCK]);
}

/// Adds the release of the turnstile.
pub fn unlock_turnstile(pipeline: &mut Pipeline<'_>) {
    pipeline.execute("SELECT pg_advisory_unlock($1)", params![TURNSTILE_LOCK]);
}

/// Adds the database-wide rename lock, which the end of the transaction releases.
pub fn lock_renames(pipeline: &mut Pipeline<'_>) {
    pipeline.execute("SELECT pg_advisory_xact_lock($1)", params![RENAME_LOCK]);
}
