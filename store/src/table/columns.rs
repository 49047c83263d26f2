//! Columns of a result set by name: the indexes are looked up once, not per row.

use crate::error::StoreError;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

/// Returns the index of each named column. A result set without rows has no use for them: all are 0.
///
/// # Errors
/// When a column is missing, which means that statement and row type do not belong together.
pub(super) fn indexes<const N: usize>(rows: &[Row], names: [&str; N]) -> Result<[usize; N], StoreError> {
    let mut indexes = [0; N];
    let Some(first) = rows.first() else { return Ok(indexes) };
    for (index, name) in indexes.iter_mut().zip(names) {
        let found = first.columns().iter().position(|column| column.name() == name);
        *index = found.ok_or_else(|| StoreError::other(format!("the result has no column {name:?}")))?;
    }
    Ok(indexes)
}

/// Reads one column of every row.
pub(super) fn column<'a, T: FromSql<'a>>(rows: &'a [Row], name: &str) -> Result<Vec<T>, StoreError> {
    let [index] = indexes(rows, [name])?;
    rows.iter().map(|row| Ok(row.try_get(index)?)).collect()
}
