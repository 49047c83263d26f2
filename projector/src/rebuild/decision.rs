//! The decision for one queue entry, given what one snapshot shows of its document.

use millstream_store::load::DocumentHead;

/// The state that an entry requires of the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Requirement {
    /// The version that the document must have reached.
    pub(super) version: i64,
    /// The document was deleted.
    pub(super) deleted: bool,
    /// Its transaction is visible in the snapshot.
    pub(super) visible: bool,
}

/// The treatment of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RebuildDecision {
    /// Its commit arrived before other sessions can see it: read again shortly; the entry is not done
    /// (docs/design/rules.md#rule-6).
    NotVisible,
    /// The document is gone, and its cached row with it.
    Gone,
    /// An open cascade has not reached the document: a body composed now would carry a version that readers no longer
    /// see. It is neither cached nor delivered; the stamp brings another entry (docs/design/rules.md#rule-5).
    AwaitsStamp,
    /// The transaction is visible and the rows are older than its change record, which should not happen: read again,
    /// with a deadline.
    Contradicted,
    /// Compose the body and store it.
    Compose,
}

impl Requirement {
    /// Requires nothing of the snapshot. For an entry of another history of the database, whose transaction id and version
    /// may have been given to other changes, or to none yet: the document is taken as it is.
    pub(super) const NONE: Self = Self { version: i64::MIN, deleted: false, visible: true };

    /// Decides from the document's head in the snapshot; `None` if it has none.
    pub(super) fn decide(self, head: Option<&DocumentHead>) -> RebuildDecision {
        match head {
            _ if !self.visible => RebuildDecision::NotVisible,
            None => RebuildDecision::Gone,
            // A DocumentId is never reused: a visible delete leaves no head.
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
    fn an_entry_of_another_history_is_done_with_what_is_there() {
        assert_eq!(Requirement::NONE.decide(None), RebuildDecision::Gone);
        assert_eq!(Requirement::NONE.decide(Some(&head(3, 3))), RebuildDecision::Compose);
        assert_eq!(Requirement::NONE.decide(Some(&head(3, 5))), RebuildDecision::AwaitsStamp);
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
