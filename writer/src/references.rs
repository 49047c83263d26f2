//! The reference set of a document as it is read under locks.

use millstream_store::error::StoreError;
use millstream_store::table::edge::ChildEdge;
use millstream_store::table::identity_lock::LockedIdentity;
use millstream_store::transaction::{PipelineRows, StatementRef};
use std::collections::{BTreeMap, BTreeSet};

/// A document's stored references.
#[derive(Debug)]
pub(crate) struct References {
    /// Child → is identity component.
    pub(crate) edges: BTreeMap<i64, bool>,
    /// Children whose identity can change.
    pub(crate) changeable: Vec<i64>,
}

impl References {
    /// Sorts the rows of `dms.ReferenceEdge`.
    pub(crate) fn of(rows: &[ChildEdge]) -> Self {
        Self {
            edges: rows.iter().map(|row| (row.child, row.is_identity_component)).collect(),
            changeable: rows.iter().filter(|row| row.is_changeable).map(|row| row.child).collect(),
        }
    }
}

/// Ids of the share-locked documents; empty if no lock was needed.
pub(crate) fn locked_ids(
    answers: &PipelineRows,
    locks: Option<StatementRef<LockedIdentity>>,
) -> Result<BTreeSet<i64>, StoreError> {
    let rows = locks.map(|locks| answers.rows(locks)).transpose()?.unwrap_or_default();
    Ok(rows.into_iter().map(|row| row.document_id).collect())
}
