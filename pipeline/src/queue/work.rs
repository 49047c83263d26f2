//! The pending work of one document.

use uuid::Uuid;

use crate::change::{Change, ChangeKind};

/// The pending work of one document. New work is merged into it, never replaces it ([`Work::absorb`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The document; the key of the entry. DocumentIds are never reused.
    pub document_id: i64,
    /// The document's public id.
    pub document_uuid: Uuid,
    /// `"ResourceKeyId"` of its resource type.
    pub resource_key: i16,
    /// The largest known version. A read has to return at least this version.
    pub version: i64,
    /// The transaction that made that version; it has to be visible before the document is read. 0 in a sink's lane:
    /// the version was read before it got there.
    pub xid: u64,
    /// The history of the database in which the change was made; 0 for a row that was read, and before the first
    /// restore or failover. Version and transaction of another history mean nothing: the document is read as it is.
    pub history: u64,
    /// The document was deleted. Final, and absorbs `rebuild`.
    pub deleted: bool,
    /// The body must be rebuilt.
    pub rebuild: bool,
    /// The identity changed: the document may have open cascades.
    pub cascade: bool,
    /// Copies may hold damaged bytes at this very version: overwrite them (docs/design/rules.md#rule-5).
    pub repair: bool,
    /// No client waits for it: only a cascade touched the document.
    pub low_priority: bool,
    /// Failed attempts since the last newer version.
    pub attempts: u32,
    /// When the oldest pending work of the entry was put.
    pub first_enqueued_at_ms: u64,
    /// Not to be taken before this time; 0 for at once.
    pub not_before_ms: u64,
}

impl Work {
    /// Returns the work that a change record requires. Set [`Work::history`] if the database has had an earlier one.
    #[must_use]
    pub fn of(change: &Change, now_ms: u64) -> Self {
        let Change { document_id, document_uuid, resource_key, content_version, xid, kind, .. } = *change;
        Self {
            xid,
            cascade: kind == ChangeKind::Identity,
            low_priority: kind == ChangeKind::Touch,
            ..Self::of_row(
                document_id,
                document_uuid,
                resource_key,
                content_version,
                kind == ChangeKind::Delete,
                now_ms,
            )
        }
    }

    /// Returns the work for a document or tombstone whose row was read: its transaction is visible, and no client waits
    /// for it.
    #[must_use]
    pub const fn of_row(
        document_id: i64,
        document_uuid: Uuid,
        resource_key: i16,
        version: i64,
        deleted: bool,
        now_ms: u64,
    ) -> Self {
        Self {
            document_id,
            document_uuid,
            resource_key,
            version,
            xid: 0,
            history: 0,
            deleted,
            rebuild: !deleted,
            cascade: false,
            repair: false,
            low_priority: true,
            attempts: 0,
            first_enqueued_at_ms: now_ms,
            not_before_ms: 0,
        }
    }

    /// Returns whether anything is pending.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        self.deleted || self.rebuild || self.cascade
    }

    /// Returns the entry for the lanes once the body of `version` was rebuilt, or its delete was seen.
    ///
    /// The lane's entry keeps the age of the change that led to it, so that lag is measured end to end. It has no
    /// cascade and no transaction: the version was already read.
    #[must_use]
    pub const fn delivery(&self, version: i64, deleted: bool, repair: bool) -> Self {
        Self {
            document_id: self.document_id,
            document_uuid: self.document_uuid,
            resource_key: self.resource_key,
            version,
            xid: 0,
            history: self.history,
            deleted,
            rebuild: !deleted,
            cascade: false,
            repair: self.repair || repair,
            low_priority: self.low_priority,
            attempts: 0,
            first_enqueued_at_ms: self.first_enqueued_at_ms,
            not_before_ms: 0,
        }
    }

    /// Returns the order of the changes of one document: by history, then by version.
    pub(crate) const fn progress(&self) -> (u64, i64) {
        (self.history, self.version)
    }

    /// Merges `other`, which is about the same document and was put later, whatever its version.
    ///
    /// The larger version of the newer history wins together with its transaction. A delete, a cascade, a repair and the age stay. One
    /// direct edit makes the whole entry direct. A newer version clears failed attempts and the delay: it may succeed
    /// where the older one failed.
    ///
    /// Within one history a DocumentId stands for one document. If the two name different documents, a restored database
    /// has used the id again: the work of the newer history replaces the other.
    pub fn absorb(&mut self, other: &Self) {
        debug_assert_eq!(self.document_id, other.document_id);
        if other.document_uuid != self.document_uuid {
            if other.history >= self.history {
                self.clone_from(other);
            }
            return;
        }
        if other.progress() > self.progress() {
            (self.history, self.version) = other.progress();
            self.xid = other.xid;
            self.attempts = 0;
            self.not_before_ms = 0;
        }
        self.deleted |= other.deleted;
        self.rebuild = (self.rebuild || other.rebuild) && !self.deleted;
        self.cascade |= other.cascade;
        self.repair |= other.repair;
        self.low_priority &= other.low_priority;
        self.first_enqueued_at_ms = self.first_enqueued_at_ms.min(other.first_enqueued_at_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(kind: ChangeKind, version: i64) -> Work {
        let change = Change {
            outbox_id: version,
            xid: 1_000 + version as u64,
            document_id: 7,
            document_uuid: Uuid::from_u128(7),
            resource_key: 3,
            kind,
            content_version: version,
        };
        Work::of(&change, 10 * version as u64)
    }

    fn added(parts: &[(ChangeKind, i64)]) -> Work {
        let mut parts = parts.iter().map(|&(kind, version)| work(kind, version));
        let mut sum = parts.next().expect("a part");
        for part in parts {
            sum.absorb(&part);
        }
        sum
    }

    #[test]
    fn an_edit_after_a_rename_keeps_the_cascade_and_the_age() {
        let sum = added(&[(ChangeKind::Identity, 1), (ChangeKind::Upsert, 2)]);
        assert_eq!((sum.version, sum.xid, sum.first_enqueued_at_ms), (2, 1_002, 10));
        assert!(sum.cascade && sum.rebuild && !sum.deleted);
    }

    #[test]
    fn a_delete_absorbs_the_rebuild_and_is_final() {
        let sum = added(&[(ChangeKind::Identity, 1), (ChangeKind::Delete, 2), (ChangeKind::Upsert, 1)]);
        assert!(sum.deleted && sum.cascade && !sum.rebuild);
        assert_eq!((sum.version, sum.xid), (2, 1_002));
    }

    #[test]
    fn a_direct_edit_raises_a_touch_and_a_touch_lowers_nothing() {
        assert!(added(&[(ChangeKind::Touch, 1)]).low_priority);
        assert!(!added(&[(ChangeKind::Touch, 1), (ChangeKind::Upsert, 2)]).low_priority);
        assert!(!added(&[(ChangeKind::Upsert, 1), (ChangeKind::Touch, 2)]).low_priority);
    }

    #[test]
    fn a_repair_is_owed_until_it_is_delivered() {
        let mut damaged = work(ChangeKind::Upsert, 5);
        damaged.absorb(&Work { repair: true, ..work(ChangeKind::Upsert, 5) });
        damaged.absorb(&work(ChangeKind::Upsert, 6));
        assert!(damaged.repair && damaged.delivery(6, false, false).repair);
        assert!(work(ChangeKind::Upsert, 5).delivery(5, false, true).repair, "the cache held damaged bytes");
    }

    #[test]
    fn a_newer_history_wins_over_a_larger_version_of_an_older_one() {
        let lost = work(ChangeKind::Identity, 100);
        let mut sum = lost.clone();
        sum.absorb(&Work { history: 9, ..work(ChangeKind::Upsert, 60) });
        assert_eq!((sum.history, sum.version, sum.xid, sum.cascade), (9, 60, 1_060, true));
        sum.absorb(&lost);
        assert_eq!((sum.history, sum.version, sum.xid), (9, 60, 1_060), "a late record of the lost history");
    }

    #[test]
    fn a_document_that_got_the_id_of_a_lost_one_replaces_it() {
        let mut pending = work(ChangeKind::Delete, 100);
        let other = Work { document_uuid: Uuid::from_u128(8), history: 9, ..work(ChangeKind::Upsert, 60) };
        pending.absorb(&other);
        assert_eq!(pending, other);
        pending.absorb(&work(ChangeKind::Delete, 100));
        assert_eq!(pending, other, "a late record of the lost document");
    }

    #[test]
    fn only_a_newer_version_forgives_failed_attempts() {
        let mut failed = work(ChangeKind::Upsert, 5);
        (failed.attempts, failed.not_before_ms) = (4, 900);
        failed.absorb(&work(ChangeKind::Upsert, 5));
        failed.absorb(&work(ChangeKind::Identity, 4));
        assert_eq!((failed.attempts, failed.not_before_ms, failed.cascade), (4, 900, true));
        failed.absorb(&work(ChangeKind::Upsert, 6));
        assert_eq!((failed.attempts, failed.not_before_ms), (0, 0));
    }
}
