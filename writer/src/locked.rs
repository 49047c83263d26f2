//! What is read under locks, and how an attempt that cannot go on is given up.

use crate::attempt::AttemptError;
use crate::error::WriteError;
use crate::request::Preconditions;
use crate::transaction::Session;
use millstream_store::error::StoreError;
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::Row;
use tokio_postgres::types::FromSqlOwned;

/// Draws one version. Only under the document's row lock (docs/design/rules.md#rule-1).
pub(crate) const DRAW_VERSION: &str = r#"SELECT nextval('"dms"."ChangeVersionSequence"')"#;
/// Locks a document's row against other versions of it.
pub(crate) const LOCK_DOCUMENT: &str =
    r#"SELECT "DocumentUuid" FROM "dms"."Document" WHERE "DocumentId" = $1 FOR NO KEY UPDATE"#;
/// A document's references as they are now: child, flag, and whether the child's identity can change.
pub(crate) const READ_EDGES: &str = r#"SELECT e."ChildDocumentId", e."IsIdentityComponent", EXISTS (SELECT 1 FROM "dms"."IdentityLock" l WHERE l."DocumentId" = e."ChildDocumentId") FROM "dms"."ReferenceEdge" e WHERE e."ParentDocumentId" = $1"#;

/// Rolls back and passes the reason on. A rollback that fails closes the connection, which rolls back as well.
pub(crate) async fn abandon<T>(session: Session, reason: impl Into<AttemptError>) -> Result<T, AttemptError> {
    if let Err(error) = session.rollback().await {
        tracing::debug!(%error, "rollback failed; the connection is closed instead");
    }
    Err(reason.into())
}

/// `If-Match` wins where both are sent; it fails on a document that does not exist (docs/design/edfi-api.md#edfi-6.6).
pub(crate) fn check_preconditions(preconditions: &Preconditions, current: Option<i64>) -> Result<(), WriteError> {
    if let Some(wanted) = &preconditions.if_match {
        let matches = current.is_some_and(|version| wanted.matches(version));
        return if matches { Ok(()) } else { Err(WriteError::PreconditionFailed) };
    }
    let forbidden = preconditions.if_none_match.as_ref().zip(current);
    if forbidden.is_some_and(|(tags, version)| tags.matches(version)) {
        return Err(WriteError::IfNoneMatchFailed);
    }
    Ok(())
}

/// Ids of the locked rows; none where no lock was needed.
pub(crate) fn locked_ids(rows: Option<&Vec<Row>>) -> Result<BTreeSet<i64>, StoreError> {
    rows.into_iter().flatten().map(|row| Ok(row.try_get(0)?)).collect()
}

/// First column of the first row.
pub(crate) fn first_value<T: FromSqlOwned>(rows: &[Row]) -> Result<T, StoreError> {
    let row = rows.first().ok_or_else(|| StoreError::other("a statement that always answers one row answered none"))?;
    Ok(row.try_get(0)?)
}

/// First two columns of the first row.
pub(crate) fn first_pair<A: FromSqlOwned, B: FromSqlOwned>(rows: &[Row]) -> Result<(A, B), StoreError> {
    let row = rows.first().ok_or_else(|| StoreError::other("a statement that always answers one row answered none"))?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// The answer of [`READ_EDGES`]: the reference set, and its members whose identity can change.
pub(crate) fn read_edges(rows: &[Row]) -> Result<(BTreeMap<i64, bool>, Vec<i64>), StoreError> {
    let mut edges = BTreeMap::new();
    let mut changeable = Vec::new();
    for row in rows {
        let child: i64 = row.try_get(0)?;
        edges.insert(child, row.try_get(1)?);
        if row.try_get(2)? {
            changeable.push(child);
        }
    }
    Ok((edges, changeable))
}
