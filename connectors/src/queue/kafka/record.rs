//! Formats of the records in work topics (the cache queue's and the lanes') and in quarantine topics.
//!
//! Key of an entry: the document id in decimal digits, readable by any tool. An entry that orders a repair has `/repair`
//! behind it: the compaction of a lane keeps it beside later entries of the document, which do not order one. Both are
//! written to the partition of the document's plain key. A command has a unique key, or the compaction
//! of a lane would let it replace the entry; it is written to the partition of its document all the same.
//!
//! Value: the format (1), the kind, then the fields of the kind. A record of another format is refused, never guessed at.

use millstream_pipeline::queue::Work;
use millstream_pipeline::queue::entry::Entry;
use uuid::Uuid;

use super::window::{Arrival, Carry, QuarantineCommand};

const FORMAT: u8 = 1;

const PUT: u8 = 0;
const CARRIED: u8 = 1;
const RELEASE: u8 = 2;
const DISCARD: u8 = 3;

/// The reason why this version cannot read a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct RecordError(String);

pub(super) fn entry_key(document_id: i64) -> Vec<u8> {
    document_id.to_string().into_bytes()
}

/// Behind the document id in the key of an entry that orders a repair.
const REPAIR_SUFFIX: &str = "/repair";

/// Returns the key of work in a work topic.
pub(super) fn work_key(work: &Work) -> Vec<u8> {
    let mut key = entry_key(work.document_id);
    if work.repair {
        key.extend_from_slice(REPAIR_SUFFIX.as_bytes());
    }
    key
}

pub(super) fn command_key() -> Vec<u8> {
    format!("command/{}", Uuid::new_v4()).into_bytes()
}

/// Returns the document of an entry's key.
pub(super) fn document_of(key: &[u8]) -> Result<i64, RecordError> {
    let digits = str::from_utf8(key).ok().map(|key| key.strip_suffix(REPAIR_SUFFIX).unwrap_or(key));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| RecordError(format!("its key {:?} is not a document id", String::from_utf8_lossy(key))))
}

pub(super) fn put(work: &Work) -> Vec<u8> {
    [&[FORMAT, PUT], &Entry::new(work.clone()).to_bytes()[..]].concat()
}

/// Encodes a carried entry. `member` lets the writing process recognize the record when it reads it again.
pub(super) fn carried(carry: &Carry, member: Uuid) -> Vec<u8> {
    [&[FORMAT, CARRIED], &member.as_bytes()[..], &carry.number.to_be_bytes(), &carry.entry.to_bytes()].concat()
}

pub(super) fn release(command: QuarantineCommand) -> Vec<u8> {
    command_value(RELEASE, command)
}

pub(super) fn discard(command: QuarantineCommand) -> Vec<u8> {
    command_value(DISCARD, command)
}

fn command_value(kind: u8, command: QuarantineCommand) -> Vec<u8> {
    let QuarantineCommand { document_id, last_failed_at_ms } = command;
    [&[FORMAT, kind], &document_id.to_be_bytes()[..], &last_failed_at_ms.to_be_bytes()].concat()
}

/// Decodes a record of a work topic. `is_own` returns whether this member carried the entry with a number itself.
pub(super) fn arrival(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    member: Uuid,
    is_own: impl FnOnce(u64) -> bool,
) -> Result<Arrival, RecordError> {
    let (kind, rest) = content(value.ok_or_else(|| RecordError("it has no value".to_owned()))?)?;
    let document = || document_of(key.unwrap_or_default());
    match kind {
        PUT => Ok(Arrival::Put(entry(document()?, rest)?.work)),
        CARRIED => {
            let (by, rest) = part(rest)?;
            let (number, rest) = part(rest)?;
            let number = u64::from_be_bytes(number);
            if Uuid::from_bytes(by) == member && is_own(number) {
                return Ok(Arrival::OwnCarry(number));
            }
            Ok(Arrival::Carried(entry(document()?, rest)?))
        }
        RELEASE => Ok(Arrival::Release(command(rest)?)),
        DISCARD => Ok(Arrival::Discard(command(rest)?)),
        other => Err(RecordError(format!("it is of the unknown kind {other}"))),
    }
}

pub(super) fn quarantined(entry: &Entry) -> Vec<u8> {
    [&[FORMAT], &entry.to_bytes()[..]].concat()
}

/// Decodes an entry of a quarantine topic.
pub(super) fn quarantined_entry(key: &[u8], value: &[u8]) -> Result<Entry, RecordError> {
    let document_id = document_of(key)?;
    match value.split_first() {
        Some((&FORMAT, rest)) => Ok(Entry { quarantined: true, ..entry(document_id, rest)? }),
        other => Err(unknown_format(other.map(|(format, _)| *format))),
    }
}

fn content(value: &[u8]) -> Result<(u8, &[u8]), RecordError> {
    match value {
        [FORMAT, kind, rest @ ..] => Ok((*kind, rest)),
        other => Err(unknown_format(other.first().copied())),
    }
}

fn unknown_format(format: Option<u8>) -> RecordError {
    let format = format.map_or_else(|| "none".to_owned(), |format| format.to_string());
    RecordError(format!("its format is {format}, this version reads {FORMAT}"))
}

fn entry(document_id: i64, bytes: &[u8]) -> Result<Entry, RecordError> {
    let entry = Entry::from_bytes(document_id, bytes).map_err(|_| RecordError("it is damaged".to_owned()))?;
    if entry.work.is_pending() { Ok(entry) } else { Err(RecordError("it asks for nothing".to_owned())) }
}

fn command(bytes: &[u8]) -> Result<QuarantineCommand, RecordError> {
    let (document_id, rest) = part(bytes)?;
    let (last_failed_at_ms, rest) = part(rest)?;
    if !rest.is_empty() {
        return Err(RecordError("it is too long".to_owned()));
    }
    let (document_id, last_failed_at_ms) = (i64::from_be_bytes(document_id), u64::from_be_bytes(last_failed_at_ms));
    Ok(QuarantineCommand { document_id, last_failed_at_ms })
}

fn part<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), RecordError> {
    let (part, rest) = bytes.split_first_chunk().ok_or_else(|| RecordError("it is too short".to_owned()))?;
    Ok((*part, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work() -> Work {
        Work {
            document_id: -7,
            document_uuid: Uuid::from_u128(9),
            resource_key: 3,
            version: 5,
            xid: 6,
            history: 0,
            deleted: false,
            rebuild: true,
            cascade: true,
            repair: false,
            low_priority: false,
            attempts: 2,
            first_enqueued_at_ms: 11,
            not_before_ms: 12,
        }
    }

    fn read(value: &[u8]) -> Result<Arrival, RecordError> {
        arrival(Some(&entry_key(-7)), Some(value), Uuid::from_u128(1), |number| number == 4)
    }

    #[test]
    fn what_is_written_reads_back() {
        let command = QuarantineCommand { document_id: -7, last_failed_at_ms: 9 };
        let carry = Carry { number: 4, entry: Entry::new(work()) };
        assert_eq!(read(&put(&work())), Ok(Arrival::Put(work())));
        assert_eq!(read(&carried(&carry, Uuid::from_u128(1))), Ok(Arrival::OwnCarry(4)));
        assert_eq!(read(&carried(&carry, Uuid::from_u128(2))), Ok(Arrival::Carried(Entry::new(work()))));
        let stale = Carry { number: 5, ..carry };
        assert_eq!(read(&carried(&stale, Uuid::from_u128(1))), Ok(Arrival::Carried(Entry::new(work()))));
        assert_eq!(read(&release(command)), Ok(Arrival::Release(command)));
        assert_eq!(read(&discard(command)), Ok(Arrival::Discard(command)));
        let held = Entry { quarantined: true, ..Entry::new(work()) };
        assert_eq!(quarantined_entry(b"-7", &quarantined(&held)), Ok(held));
    }

    #[test]
    fn an_order_to_repair_has_a_key_of_its_own_that_names_its_document() {
        let repair = Work { repair: true, ..work() };
        assert_eq!(work_key(&work()), entry_key(-7));
        assert_ne!(work_key(&repair), work_key(&work()), "compaction would replace it with a later plain entry");
        let read = arrival(Some(&work_key(&repair)), Some(&put(&repair)), Uuid::nil(), |_| false);
        assert_eq!(read, Ok(Arrival::Put(repair)));
    }

    #[test]
    fn what_is_not_ours_is_named_and_never_guessed() {
        let error = |value: &[u8]| read(value).expect_err("refused").to_string();
        assert_eq!(error(b""), "its format is none, this version reads 1");
        assert_eq!(error(b"{\"a\":1}"), "its format is 123, this version reads 1");
        assert_eq!(error(&[1, 9]), "it is of the unknown kind 9");
        assert_eq!(error(&[1, PUT, 2]), "it is damaged");
        assert_eq!(error(&[1, RELEASE, 2]), "it is too short");
        let idle = Work { rebuild: false, cascade: false, ..work() };
        assert_eq!(error(&put(&idle)), "it asks for nothing");
        assert!(arrival(Some(b"x"), Some(&put(&work())), Uuid::nil(), |_| false).is_err());
        assert!(arrival(Some(b"1"), None, Uuid::nil(), |_| false).is_err());
    }
}
