//! What one row of `dms.Outbox` says: which document changed, how, in which transaction and to which version.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// How a document changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeKind {
    /// The document was inserted or its representation was edited: it has to be rebuilt.
    Upsert,
    /// Its identity changed as well: it has to be rebuilt, and the documents that embed its identity with it.
    Identity,
    /// The document is gone.
    Delete,
    /// Nobody edited the document itself: something that it embeds changed, and it was given a new version for that.
    Touch,
}

impl ChangeKind {
    /// Every kind, in the order of the enum.
    pub const ALL: [Self; 4] = [Self::Upsert, Self::Identity, Self::Delete, Self::Touch];

    /// The kind as `dms.Outbox."Kind"` spells it.
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

/// A spelling of `"Kind"` that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of change {0:?}: the outbox was written by a newer version; upgrade this process")]
pub struct UnknownChangeKind(pub String);

impl FromStr for ChangeKind {
    type Err = UnknownChangeKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownChangeKind(text.to_owned()))
    }
}

/// A change record as it was read back, from the WAL or from the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// `"OutboxId"`: unique, drawn before the commit, so no order of commits.
    pub outbox_id: i64,
    /// `"TransactionId"`: what has to be visible before the document's rows are worth reading (`pg_visible_in_snapshot`).
    pub xid: u64,
    /// The document.
    pub document_id: i64,
    /// The document as clients name it.
    pub document_uuid: Uuid,
    /// `"ResourceKeyId"` of its resource type.
    pub resource_key: i16,
    /// What happened.
    pub kind: ChangeKind,
    /// The version that the change gave the document; per document it grows in commit order.
    pub content_version: i64,
}

/// A change record about to be written; its id, transaction and time are the database's to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewChange {
    /// The document.
    pub document_id: i64,
    /// The document as clients name it.
    pub document_uuid: Uuid,
    /// `"ResourceKeyId"` of its resource type.
    pub resource_key: i16,
    /// What happened.
    pub kind: ChangeKind,
    /// The version that the change gives the document.
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
