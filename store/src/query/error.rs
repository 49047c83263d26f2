//! Errors of a query. Each is the client's and becomes a 400.

/// An invalid query.
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
    /// The value is not of the field's type.
    #[error("The value '{value}' of the query field '{field}' is not valid: {expected} is expected.")]
    BadValue {
        /// Name as the schema spells it.
        field: String,
        /// Value as the client wrote it.
        value: String,
        /// Description of a valid value.
        expected: &'static str,
    },
    /// No page of this resource returned this page token.
    #[error("The value of 'pageToken' is not one that a page of this resource returned.")]
    BadPageToken,
    /// The page has more bytes than one answer may take.
    #[error(
        "The page does not fit into one answer: ask for at most {fitting} documents ('limit'), or page with 'pageToken'."
    )]
    PageTooLarge {
        /// The number of leading documents that fit.
        fitting: usize,
    },
}
