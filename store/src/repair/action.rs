//! The steps of a repair, for reports.

use millstream_schema::plan::ResourceKeyId;
use std::fmt;
use uuid::Uuid;

/// One step of the repair of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepairAction {
    /// Insert its row into `dms.IdentityLock`.
    InsertIdentityLock,
    /// Derive `Uri`, `UriLower` and `ResourceKeyId` of the descriptor again; the count is the documents that embed its URI
    /// and get a new version.
    DeriveDescriptorColumns {
        /// Documents that embed a URI that changed.
        referrers: u64,
    },
    /// Insert an edge.
    InsertEdge {
        /// The document referred to.
        child: i64,
    },
    /// Delete an edge that no reference column accounts for.
    DeleteEdge {
        /// The document referred to.
        child: i64,
    },
    /// Correct `IsIdentityComponent` of an edge.
    CorrectEdgeFlag {
        /// The document referred to.
        child: i64,
    },
    /// Delete the tombstone of a living document.
    DeleteTombstone,
    /// Remove a cached body of a version, id, type or time that is not the document's.
    EvictBody,
    /// Write the rows of `dms.ReferentialIdentity` again.
    RewriteIdentity {
        /// The types under which the document has a row afterwards.
        keys: Vec<ResourceKeyId>,
        /// The values changed, so every document that embeds them gets a new version.
        propagates: bool,
    },
    /// Give the document a new version, so that caches and sinks follow.
    NewVersion,
    /// Compose the body again, and deliver it to every sink even at an equal version.
    RebuildBody,
}

impl fmt::Display for RepairAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InsertIdentityLock => f.write_str("insert the row in dms.IdentityLock"),
            Self::DeriveDescriptorColumns { referrers: 0 } => f.write_str("derive the descriptor columns again"),
            Self::DeriveDescriptorColumns { referrers } => {
                write!(
                    f,
                    "derive the descriptor columns again; {referrers} documents that embed its URI get new versions"
                )
            }
            Self::InsertEdge { child } => write!(f, "insert the edge to document {child}"),
            Self::DeleteEdge { child } => write!(f, "delete the edge to document {child}"),
            Self::CorrectEdgeFlag { child } => write!(f, "correct the flag of the edge to document {child}"),
            Self::DeleteTombstone => f.write_str("delete the tombstone"),
            Self::EvictBody => f.write_str("remove the cached body"),
            Self::RewriteIdentity { keys, propagates } => {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                write!(f, "rewrite the identity under type {}", keys.join(" and "))?;
                if *propagates { f.write_str("; documents that embed it get new versions") } else { Ok(()) }
            }
            Self::NewVersion => f.write_str("draw a new version"),
            Self::RebuildBody => f.write_str("rebuild the body and deliver it"),
        }
    }
}

/// The repair of one document: done, or what it would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentRepair {
    /// The public id.
    pub uuid: Uuid,
    /// The resource type, as in the URL; empty for a type that the schema does not have.
    pub resource: String,
    /// The steps, in order.
    pub actions: Vec<RepairAction>,
    /// Damage that the rows do not determine the repair of, or that a repair failed on, and why.
    pub left: Vec<String>,
}
