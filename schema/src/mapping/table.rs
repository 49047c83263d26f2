//! Compiled tables: final names, value columns, and the SQL of every write and read.

use serde::{Deserialize, Serialize};

/// Kind of content of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableRole {
    /// One row per document, key `DocumentId`.
    Root,
    /// A collection: key (`{Root}_DocumentId`, ancestor ordinals, `Ordinal`).
    Collection,
    /// `_ext` content of an extension project: one row beside the root row or a collection row, with the same key. The
    /// row exists exactly if the extension object exists in the body, even if the object holds arrays only.
    Extension,
}

/// Storage type of a column, which decides the JSON type of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColumnType {
    /// JSON string.
    Text,
    /// JSON integer within `i32`.
    Int4,
    /// JSON integer within `i64`.
    Int8,
    /// JSON number, exact: passed as canonical text (no exponent, no trailing fraction zeros).
    Decimal {
        /// Total digits.
        precision: u16,
        /// Digits after the point.
        scale: u16,
    },
    /// JSON boolean.
    Bool,
    /// JSON string `yyyy-MM-dd`.
    Date,
    /// JSON string `HH:mm:ss`.
    Time,
    /// JSON string `yyyy-MM-ddTHH:mm:ssZ`, always UTC.
    Timestamp,
    /// Surrogate key of a referenced document (`bigint`); JSON: a reference object.
    Document,
    /// Surrogate key of a descriptor (`bigint`); JSON: its URI.
    Descriptor,
}

/// A value column (key columns are not listed: see [`TablePlan::key_columns`](super::TablePlan::key_columns)).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ColumnPlan {
    /// Final name, unquoted.
    pub name: String,
    /// Storage type.
    pub ty: ColumnType,
    /// NOT NULL in the database.
    pub required: bool,
}

/// One table of a resource, with its statements (PostgreSQL). All statements work on any number of documents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TablePlan {
    /// Quoted and qualified: `"edfi"."SchoolAddress"`.
    pub qualified: String,
    /// Kind of content.
    pub role: TableRole,
    /// Parent table (index into `ResourcePlan::tables`); `None` for the root.
    pub parent: Option<usize>,
    /// Key columns, unquoted: the document id first, then `depth` ordinals, outermost first.
    pub key_columns: Vec<String>,
    /// Number of ordinals in the key: 0 for root and root extension, 1 for a collection, 2 for one within it…
    pub depth: usize,
    /// Value columns.
    pub columns: Vec<ColumnPlan>,
    /// `INSERT … SELECT … FROM unnest($1::int8[], …)`: one array per column, key columns first (int8 for the document
    /// id, int4 for ordinals), then the value columns. Array types: Text, Decimal → `text[]`; Int4 → `int4[]`; Int8,
    /// Document, Descriptor → `int8[]`; Bool → `bool[]`; Date → `date[]`; Time → `time[]`; Timestamp → `timestamptz[]`.
    pub insert_sql: String,
    /// Root only: `UPDATE … FROM unnest(…)` with the same parameters as `insert_sql`. Empty for other tables.
    pub update_sql: String,
    /// `SELECT key…, columns… WHERE document id = ANY($1::int8[]) ORDER BY key`. Decimals are returned as `text`.
    pub select_sql: String,
    /// `DELETE … WHERE document id = ANY($1::int8[])`. Needed only for tables whose parent is the root: the foreign
    /// keys cascade to the tables below.
    pub delete_sql: String,
}
