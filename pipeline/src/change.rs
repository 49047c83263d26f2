//! Change records, the rows of `dms.Outbox`: the document, the kind of change, the transaction and the version.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeKind {
    /// The document was inserted or its representation was edited: it must be rebuilt.
    Upsert,
    /// The identity changed as well: the document and the documents that embed its identity must be rebuilt.
    Identity,
    /// The document was deleted.
    Delete,
    /// A document that this one embeds changed, and this one got a new version for that; it was not edited itself.
    Touch,
}

impl ChangeKind {
    /// Every kind, in the order of the enum.
    pub const ALL: [Self; 4] = [Self::Upsert, Self::Identity, Self::Delete, Self::Touch];

    /// Returns the spelling in `dms.Outbox."Kind"`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upsert => "upsert",
            Self::Identity => "identity",
            Self::Delete => "delete",
            Self::Touch => "touch",
        }
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A value of `"Kind"` that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of change {0:?}: the outbox was written by a newer version; upgrade this process")]
pub struct UnknownChangeKind(pub String);

impl FromStr for ChangeKind {
    type Err = UnknownChangeKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownChangeKind(text.to_owned()))
    }
}

/// A change record as read from the WAL or the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// `"OutboxId"`: unique. Drawn before the commit, so it does not follow commit order.
    pub outbox_id: i64,
    /// `"TransactionId"`: has to be visible (`pg_visible_in_snapshot`) before the document's rows are read.
    pub xid: u64,
    /// The document.
    pub document_id: i64,
    /// The document's public id.
    pub document_uuid: Uuid,
    /// `"ResourceKeyId"` of its resource type.
    pub resource_key: i16,
    /// The kind of change.
    pub kind: ChangeKind,
    /// The document's version after the change; per document it grows in commit order.
    pub content_version: i64,
}

/// A change record about to be written. The database assigns its id, transaction and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewChange {
    /// The document.
    pub document_id: i64,
    /// The document's public id.
    pub document_uuid: Uuid,
    /// `"ResourceKeyId"` of its resource type.
    pub resource_key: i16,
    /// The kind of change.
    pub kind: ChangeKind,
    /// The document's version after the change.
    pub content_version: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_back_as_they_are_written() {
        for kind in ChangeKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert!(kind.as_str().len() <= 8, "the column holds 8 characters");
        }
        assert_eq!("Upsert".parse::<ChangeKind>(), Err(UnknownChangeKind("Upsert".to_owned())));
    }
}
