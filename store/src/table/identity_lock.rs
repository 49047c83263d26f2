//! `dms.IdentityLock`: the rows whose locks order identity changes (docs/design/rules.md#rule-1).
//!
//! Only documents of changeable types have a row, so joining with this table filters by type.

use std::collections::HashSet;

use crate::connect::GenericClient;

use super::query::{query_cached, read_column, row_struct, sql};
use crate::error::StoreError;
use crate::transaction::pipeline::{Pipeline, StatementRef, params};

const INSERT: &str = sql!("identity_lock_insert.sql");
/// All candidates stand in one array, which leads to the primary key whatever the planner knows of the table: an `OR`
/// would read all of it.
const SHARE: &str = sql!("identity_lock_share.sql");
const OWN: &str = sql!("identity_lock_own.sql");
const LEVEL: &str = sql!("identity_lock_level.sql");
const ENSURE: &str = sql!("identity_lock_ensure.sql");
const EXISTING: &str = sql!("identity_lock_existing.sql");

row_struct! {
    /// A document whose identity the transaction has locked.
    #[derive(Debug, Clone, Copy)]
    pub struct LockedIdentity {
        /// The document.
        pub document_id: i64 = "DocumentId",
    }
}

/// Adds the rows of new documents of a changeable type.
pub fn insert(pipeline: &mut Pipeline<'_>, document_ids: Vec<i64>) {
    pipeline.execute(INSERT, params![document_ids]);
}

/// Adds the rows that existing documents of changeable types lack; the answer is the documents that lacked one.
pub fn ensure(pipeline: &mut Pipeline<'_>, document_ids: Vec<i64>) -> StatementRef<LockedIdentity> {
    pipeline.add(ENSURE, params![document_ids])
}

/// Adds `FOR SHARE` locks, in ascending order, on `references` and on all that the documents `referrers` refer to now.
pub fn lock_shared(
    pipeline: &mut Pipeline<'_>,
    references: Vec<i64>,
    referrers: Vec<i64>,
) -> StatementRef<LockedIdentity> {
    pipeline.add(SHARE, params![references, referrers])
}

/// Adds the `FOR UPDATE` lock on a document's own row, if it has one.
pub fn lock_own(pipeline: &mut Pipeline<'_>, document_ids: Vec<i64>) {
    pipeline.execute(OWN, params![document_ids]);
}

/// Adds `FOR UPDATE` locks, in ascending order, on one level of a closure.
pub fn lock_level(pipeline: &mut Pipeline<'_>, document_ids: Vec<i64>) -> StatementRef<LockedIdentity> {
    pipeline.add(LEVEL, params![document_ids])
}

/// Reads which of these documents have a row.
pub async fn existing<C: GenericClient>(client: &C, document_ids: &[i64]) -> Result<HashSet<i64>, StoreError> {
    let rows = query_cached(client, EXISTING, &[&document_ids]).await?;
    Ok(read_column(&rows, "DocumentId")?.into_iter().collect())
}
