//! Query fields: the parameters by which a client may filter a collection.

use super::key::ResourceKeyId;
use super::table::ColumnType;
use serde::{Deserialize, Serialize};

/// One query field. A field with several paths matches if any of them does (docs/design/rules.md#rule-25).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueryField {
    /// Name as the schema spells it.
    pub name: String,
    /// Paths to compare. Empty if the schema names a path that does not exist: a query by the field is 400 "not
    /// supported".
    pub paths: Vec<QueryPath>,
}

/// One path of a query field.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueryPath {
    /// JSON path, for messages.
    pub path: String,
    /// Parsing of the client's text.
    pub kind: QueryKind,
    /// The SQL condition.
    pub filter: QueryFilter,
}

/// Parsing of a query parameter's text. Malformed text is answered 400 with value and field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueryKind {
    /// By the storage type of the compared column (Text, Int4, Int8, Decimal, Bool, Date, Time, Timestamp).
    Value(ColumnType),
    /// A descriptor URI: compared through `dms.Descriptor.UriLower`; unknown = empty page.
    Descriptor {
        /// Resource key of the descriptor type.
        key: ResourceKeyId,
    },
    /// A document's uuid (`$.id`); text that is not a uuid = empty page.
    Uuid,
}

/// A SQL condition over the root table under the alias `r` (`d` for `dms.Document`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryFilter {
    /// The condition, with `{}` where the parameter's placeholder goes (`$3`), exactly once. The parameter is bound
    /// as the column's type: text, int4, int8, text cast to numeric in the SQL, bool, date, time, timestamptz; for
    /// [`QueryKind::Descriptor`] as the descriptor's DocumentId and for [`QueryKind::Uuid`] as the document's (int8).
    pub sql: String,
}
