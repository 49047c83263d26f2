//! What is wrong with a query: the client's doing, each a 400.

/// A query that cannot be answered as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The resource has no such field.
    #[error("The query field '{field}' is not valid for this resource.")]
    UnknownField {
        /// Name as the client wrote it.
        field: String,
    },
    /// The schema names a field whose path exists nowhere in the resource (docs/design/rules.md#rule-16).
    #[error(
        "The query field '{field}' is not supported: the schema names a path for it that the resource does not have."
    )]
    NotSupported {
        /// Name as the schema spells it.
        field: String,
    },
    /// The value is none of the field's type.
    #[error("The value '{value}' of the query field '{field}' is not valid: {expected} is expected.")]
    BadValue {
        /// Name as the schema spells it.
        field: String,
        /// Value as the client wrote it.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The page token is none that this resource's pages gave out.
    #[error("The value of 'pageToken' is not one that a page of this resource returned.")]
    BadPageToken,
}
