//! Why one document could not be composed.

use uuid::Uuid;

/// One document's rows do not make a body. The other documents of a batch are not affected.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{resource} {uuid} cannot be composed from its rows: {problem}")]
pub struct ComposeError {
    /// Surrogate key of the document.
    pub document_id: i64,
    /// Its public id.
    pub uuid: Uuid,
    /// Name of its resource type, or its key if the mapping does not have it.
    pub resource: String,
    /// The problem.
    pub problem: ComposeProblem,
}

/// A problem of a document's rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeProblem {
    /// `dms.Document.ResourceKeyId` names no concrete resource type of this schema.
    #[error("no resource type has the key {0}")]
    UnknownType(i16),
    /// `dms.Document` has a row, the root table has none.
    #[error("it has no row in {table}")]
    RootRowMissing {
        /// The root table.
        table: String,
    },
    /// A reference points to a document without an identity.
    #[error("{path} points to document {target}, which has no identity in dms.ReferentialIdentity")]
    IdentityMissing {
        /// JSON path of the reference object.
        path: String,
        /// DocumentId of the target.
        target: i64,
    },
    /// A reference needs an identity element that its target does not have.
    #[error("{path} needs element {position} of the identity of document {target}, which has {found}")]
    IdentityTooShort {
        /// JSON path of the reference object.
        path: String,
        /// DocumentId of the target.
        target: i64,
        /// The element, counted from 0.
        position: usize,
        /// The number of elements.
        found: usize,
    },
    /// A descriptor column points to a document that is not a descriptor.
    #[error("{path} points to descriptor {target}, which does not exist")]
    DescriptorMissing {
        /// JSON path of the descriptor.
        path: String,
        /// DocumentId in the column.
        target: i64,
    },
    /// A value is not of its type.
    #[error("the value of {place} cannot be written as JSON")]
    Unreadable {
        /// Table and column, or JSON path.
        place: String,
    },
    /// Rows of the document have no parent row.
    #[error("{table} has rows that belong to no row of the table above it")]
    OrphanRows {
        /// The table.
        table: String,
    },
    /// The mapping contradicts itself.
    #[error("the compiled mapping names {what}, which it does not have")]
    Mapping {
        /// Table, column or site.
        what: String,
    },
}
