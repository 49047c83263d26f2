//! The encoding of an entry, the same on disk and on the wire. Every store records the format's number beside it, once
//! or per record; this is format 1.

use uuid::Uuid;

use super::bytes::Reader;
use super::entry::{Entry, Failure};
use super::error::QueueError;
use super::work::Work;

/// Flags of an entry.
const DELETED: u8 = 1;
const REBUILD: u8 = 2;
const CASCADE: u8 = 4;
const LOW_PRIORITY: u8 = 8;
const QUARANTINED: u8 = 16;
const FAILED: u8 = 32;
const REPAIR: u8 = 64;
/// The number of a history follows the times. Versions without this flag wrote the same bytes for history 0.
const HISTORY: u8 = 128;

impl Entry {
    /// Encodes the entry without its document id, which is its key in every store.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let work = &self.work;
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let flags = flag(work.deleted, DELETED)
            | flag(work.rebuild, REBUILD)
            | flag(work.cascade, CASCADE)
            | flag(work.repair, REPAIR)
            | flag(work.low_priority, LOW_PRIORITY)
            | flag(self.quarantined, QUARANTINED)
            | flag(self.failure.is_some(), FAILED)
            | flag(work.history != 0, HISTORY);
        let mut bytes = Vec::with_capacity(64);
        bytes.push(flags);
        bytes.extend_from_slice(work.document_uuid.as_bytes());
        bytes.extend_from_slice(&work.resource_key.to_be_bytes());
        bytes.extend_from_slice(&work.version.to_be_bytes());
        bytes.extend_from_slice(&work.xid.to_be_bytes());
        bytes.extend_from_slice(&work.attempts.to_be_bytes());
        bytes.extend_from_slice(&work.first_enqueued_at_ms.to_be_bytes());
        bytes.extend_from_slice(&work.not_before_ms.to_be_bytes());
        if work.history != 0 {
            bytes.extend_from_slice(&work.history.to_be_bytes());
        }
        if let Some(failure) = &self.failure {
            bytes.extend_from_slice(&failure.first_ms.to_be_bytes());
            bytes.extend_from_slice(&failure.last_ms.to_be_bytes());
            bytes.extend_from_slice(failure.reason.as_bytes());
        }
        bytes
    }

    /// Decodes the bytes of [`Entry::to_bytes`].
    ///
    /// # Errors
    /// [`QueueError::Corrupt`] when the bytes are not an entry.
    pub fn from_bytes(document_id: i64, bytes: &[u8]) -> Result<Self, QueueError> {
        let mut bytes = Reader { bytes, what: "an entry" };
        let [flags] = bytes.array()?;
        let mut work = Work {
            document_id,
            document_uuid: Uuid::from_bytes(bytes.array()?),
            resource_key: i16::from_be_bytes(bytes.array()?),
            version: i64::from_be_bytes(bytes.array()?),
            xid: u64::from_be_bytes(bytes.array()?),
            history: 0,
            deleted: flags & DELETED != 0,
            rebuild: flags & REBUILD != 0,
            cascade: flags & CASCADE != 0,
            repair: flags & REPAIR != 0,
            low_priority: flags & LOW_PRIORITY != 0,
            attempts: u32::from_be_bytes(bytes.array()?),
            first_enqueued_at_ms: u64::from_be_bytes(bytes.array()?),
            not_before_ms: u64::from_be_bytes(bytes.array()?),
        };
        if flags & HISTORY != 0 {
            work.history = u64::from_be_bytes(bytes.array()?);
        }
        let failure = if flags & FAILED == 0 {
            bytes.end()?;
            None
        } else {
            let (first_ms, last_ms) = (u64::from_be_bytes(bytes.array()?), u64::from_be_bytes(bytes.array()?));
            let reason = str::from_utf8(bytes.bytes).map_err(|_| bytes.corrupt("not UTF-8 in its reason"))?;
            Some(Failure { reason: reason.to_owned(), first_ms, last_ms })
        };
        Ok(Self { work, failure, quarantined: flags & QUARANTINED != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::examples::entry;
    use super::*;

    #[test]
    fn entries_read_back() {
        let failure = Failure { reason: "no such column ü".to_owned(), first_ms: 1, last_ms: 2 };
        let mut first_history = entry(None);
        first_history.work.history = 0;
        for entry in [entry(None), entry(Some(failure)), first_history] {
            assert_eq!(Entry::from_bytes(-7, &entry.to_bytes()).ok(), Some(entry));
        }
    }

    #[test]
    fn damaged_bytes_are_named_not_guessed() {
        let bytes = entry(None).to_bytes();
        assert!(Entry::from_bytes(1, &bytes[..bytes.len() - 1]).is_err());
        assert!(Entry::from_bytes(1, &[bytes, vec![0]].concat()).is_err());
    }
}
