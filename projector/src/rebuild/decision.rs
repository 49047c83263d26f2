//! What one queue entry asks for, held against what one snapshot shows.

use millstream_store::load::DocumentHead;

/// What an entry requires of the snapshot that answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// The version that the document must have reached.
    pub(crate) version: i64,
    /// The document was deleted.
    pub(crate) deleted: bool,
    /// Its transaction is visible in the snapshot.
    pub(crate) visible: bool,
}

/// What to do about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RebuildDecision {
    /// Its commit arrived before other sessions can see it: look again shortly, never call it done
    /// (docs/design/rules.md#rule-6).
    NotVisible,
    /// The document is gone, and its cached row with it.
    Gone,
    /// An open cascade has not reached the document: a body composed now would bear a label that readers no longer see.
    /// It is neither cached nor delivered; the stamp brings another entry (docs/design/rules.md#rule-5).
    AwaitsStamp,
    /// The transaction is visible and the rows are still older than it: this cannot be. Look again, with a deadline.
    Contradicted,
    /// Compose it and store it.
    Compose,
}

impl Requirement {
    /// Judges by the head that the snapshot holds of the document, if it holds any.
    pub(crate) fn decide(self, head: Option<&DocumentHead>) -> RebuildDecision {
        match head {
            _ if !self.visible => RebuildDecision::NotVisible,
            None => RebuildDecision::Gone,
            // A DocumentId is never used again: a visible delete leaves no head.
            Some(_) if self.deleted => RebuildDecision::Contradicted,
            Some(head) if head.content_version < self.version => RebuildDecision::Contradicted,
            Some(head) if head.is_overtaken() => RebuildDecision::AwaitsStamp,
            Some(_) => RebuildDecision::Compose,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(content_version: i64, effective_version: i64) -> DocumentHead {
        DocumentHead {
            document_id: 1,
            uuid: uuid::Uuid::nil(),
            key: 1,
            content_version,
            effective_version,
            last_modified: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn requires(version: i64) -> Requirement {
        Requirement { version, deleted: false, visible: true }
    }

    #[test]
    fn an_invisible_transaction_is_never_done_whatever_the_rows_say() {
        for head in [None, Some(head(10, 10)), Some(head(12, 15))] {
            for deleted in [false, true] {
                let requirement = Requirement { version: 10, deleted, visible: false };
                assert_eq!(requirement.decide(head.as_ref()), RebuildDecision::NotVisible);
            }
        }
    }

    #[test]
    fn a_missing_row_is_done_a_present_one_of_a_deleted_document_is_not() {
        assert_eq!(requires(10).decide(None), RebuildDecision::Gone);
        let deleted = Requirement { version: 10, deleted: true, visible: true };
        assert_eq!(deleted.decide(None), RebuildDecision::Gone);
        assert_eq!(deleted.decide(Some(&head(9, 9))), RebuildDecision::Contradicted);
    }

    #[test]
    fn below_the_effective_version_nothing_is_composed() {
        assert_eq!(requires(10).decide(Some(&head(10, 12))), RebuildDecision::AwaitsStamp);
        assert_eq!(requires(10).decide(Some(&head(11, 11))), RebuildDecision::Compose);
        assert_eq!(requires(10).decide(Some(&head(10, 10))), RebuildDecision::Compose);
    }

    #[test]
    fn rows_behind_a_visible_change_are_a_contradiction_also_below_a_cascade() {
        assert_eq!(requires(10).decide(Some(&head(9, 9))), RebuildDecision::Contradicted);
        assert_eq!(requires(10).decide(Some(&head(9, 12))), RebuildDecision::Contradicted);
    }
}
