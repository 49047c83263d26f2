//! Running statements, and reading their rows by column name.
//!
//! The columns of a result set are looked up once; every row is then read with the indexes found. So a shape has one
//! definition, which names its columns, and a large result set costs no comparison of names per row.

use crate::connect::GenericClient;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSqlOwned, ToSql};

use crate::error::{ErrorKind, StoreError};

/// A shape of result rows.
pub trait FromRow: Sized {
    /// The indexes of its columns in one result set.
    type Columns;

    /// Looks up the columns by name in a row of the result set.
    ///
    /// # Errors
    /// [`ErrorKind::Schema`] if a column is missing.
    fn columns(row: &Row) -> Result<Self::Columns, StoreError>;

    /// Reads a row of that result set.
    ///
    /// # Errors
    /// A value of another type than the shape's.
    fn from_row(row: &Row, columns: &Self::Columns) -> Result<Self, StoreError>;
}

/// Declares a row struct with the name of each column, and implements [`FromRow`] for it.
macro_rules! row_struct {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $( $(#[$field_meta:meta])* $field_vis:vis $field:ident: $ty:ty = $column:literal, )+
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $( $(#[$field_meta])* $field_vis $field: $ty, )+
        }

        impl $crate::table::query::FromRow for $name {
            type Columns = [usize; [$($column),+].len()];

            fn columns(row: &tokio_postgres::Row) -> Result<Self::Columns, $crate::error::StoreError> {
                $crate::table::query::column_indexes(row, [$($column),+])
            }

            fn from_row(
                row: &tokio_postgres::Row,
                columns: &Self::Columns,
            ) -> Result<Self, $crate::error::StoreError> {
                let [$($field),+] = *columns;
                Ok(Self { $($field: row.try_get($field)?),+ })
            }
        }
    };
}
pub(crate) use row_struct;

/// The index of a named column.
///
/// # Errors
/// [`ErrorKind::Schema`] if the result set has no such column.
pub fn column_index(row: &Row, name: &str) -> Result<usize, StoreError> {
    row.columns().iter().position(|column| column.name() == name).ok_or_else(|| {
        let message = format!("the result set has no column \"{name}\"");
        StoreError::new(ErrorKind::Schema { message: message.clone() }, message)
    })
}

/// The indexes of named columns.
///
/// # Errors
/// [`ErrorKind::Schema`] if the result set lacks one.
pub fn column_indexes<const N: usize>(row: &Row, names: [&str; N]) -> Result<[usize; N], StoreError> {
    let mut indexes = [0; N];
    for (index, name) in indexes.iter_mut().zip(names) {
        *index = column_index(row, name)?;
    }
    Ok(indexes)
}

/// Reads all rows of a result set.
///
/// # Errors
/// See [`FromRow`].
pub fn read_rows<T: FromRow>(rows: &[Row]) -> Result<Vec<T>, StoreError> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let columns = T::columns(first)?;
    rows.iter().map(|row| T::from_row(row, &columns)).collect()
}

/// Reads one row.
///
/// # Errors
/// See [`FromRow`].
pub fn read_row<T: FromRow>(row: &Row) -> Result<T, StoreError> {
    T::from_row(row, &T::columns(row)?)
}

/// Reads one column of all rows of a result set.
///
/// # Errors
/// A missing column, or a value of another type.
pub fn read_column<T: FromSqlOwned>(rows: &[Row], name: &str) -> Result<Vec<T>, StoreError> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let index = column_index(first, name)?;
    rows.iter().map(|row| Ok(row.try_get(index)?)).collect()
}

/// Runs a statement that each connection prepares once.
pub(crate) async fn query_cached<C: GenericClient>(
    client: &C,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, StoreError> {
    let statement = client.prepare_cached(sql).await?;
    client.query(&statement, parameters).await
}

/// A statement text whose `{…}` fragments are replaced once.
macro_rules! expanded {
    ($file:literal) => {
        std::sync::LazyLock::new(|| {
            $crate::version::expand(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/table/", $file)))
        })
    };
}
pub(crate) use expanded;

/// The text of a statement file.
macro_rules! sql {
    ($file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/table/", $file))
    };
}
pub(crate) use sql;
