//! Millstream's own record format: 52 bytes, big-endian. The first byte is the version of the format.
//!
//! | bytes | content |
//! |---|---|
//! | 1 | 1, the version |
//! | 1 | kind: 0 upsert, 1 identity, 2 delete, 3 touch |
//! | 2 | resource key |
//! | 8 | outbox id |
//! | 8 | transaction id |
//! | 8 | document id |
//! | 8 | content version |
//! | 16 | document uuid |
//!
//! The record key is the document's uuid as text, so that all changes of a document are in one partition, in order.
//!
//! A record that consists of the version byte alone carries no change. The publisher writes it first, so that a topic
//! in use is never empty.

use bytes::{Buf, BufMut};
use millstream_pipeline::{Change, ChangeKind};
use uuid::Uuid;

use super::record::{TopicRecord, UndecodableRecord};

const VERSION: u8 = 1;
const LENGTH_BYTES: usize = 52;

/// The value of the first record of a topic.
pub(in crate::source::topic) const BEGINNING: [u8; 1] = [VERSION];

/// Returns the key of a change's record.
pub(in crate::source::topic) fn key(change: &Change) -> String {
    change.document_uuid.hyphenated().to_string()
}

/// Encodes a change.
pub(in crate::source::topic) fn encode(change: &Change) -> [u8; LENGTH_BYTES] {
    let mut value = [0; LENGTH_BYTES];
    let mut rest = value.as_mut_slice();
    rest.put_u8(VERSION);
    rest.put_u8(match change.kind {
        ChangeKind::Upsert => 0,
        ChangeKind::Identity => 1,
        ChangeKind::Delete => 2,
        ChangeKind::Touch => 3,
    });
    rest.put_i16(change.resource_key);
    rest.put_i64(change.outbox_id);
    rest.put_u64(change.xid);
    rest.put_i64(change.document_id);
    rest.put_i64(change.content_version);
    rest.put_slice(change.document_uuid.as_bytes());
    value
}

/// Decodes a record; `None` for the first record of a topic. All other records are changes, because the publisher is
/// the only writer.
pub(super) fn decode(record: &TopicRecord<'_>) -> Result<Option<Change>, UndecodableRecord> {
    let mut value = record.value.ok_or("it has no value, but a change topic has no tombstones")?;
    match value.first() {
        Some(_) if value == BEGINNING => return Ok(None),
        Some(&VERSION) if value.len() == LENGTH_BYTES => value.advance(1),
        Some(&VERSION) => return Err(format!("it has {} bytes instead of {LENGTH_BYTES}", value.len()).into()),
        Some(b'{') => return Err("it is JSON: is this the topic of a Debezium connector?".into()),
        Some(other) => return Err(format!("its version is {other}, this process reads {VERSION}: upgrade it").into()),
        None => return Err("it is empty".into()),
    }
    let kind = match value.get_u8() {
        0 => ChangeKind::Upsert,
        1 => ChangeKind::Identity,
        2 => ChangeKind::Delete,
        3 => ChangeKind::Touch,
        other => return Err(format!("{other} is not a kind of change").into()),
    };
    let resource_key = value.get_i16();
    let outbox_id = value.get_i64();
    let xid = value.get_u64();
    let document_id = value.get_i64();
    let content_version = value.get_i64();
    let document_uuid = Uuid::from_u128(value.get_u128());
    Ok(Some(Change { outbox_id, xid, document_id, document_uuid, resource_key, kind, content_version }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &[u8]) -> Result<Option<Change>, UndecodableRecord> {
        decode(&TopicRecord { value: Some(value), headers: Vec::new() })
    }

    fn change(kind: ChangeKind) -> Change {
        Change {
            outbox_id: i64::MAX,
            xid: u64::MAX - 1,
            document_id: 0x0102_0304_0506_0708,
            document_uuid: Uuid::from_u128(0x83d3_62ef_af16_4132_b69d_8099_a874_3c72),
            resource_key: -2,
            kind,
            content_version: 7,
        }
    }

    #[test]
    fn a_decoded_change_equals_the_encoded_one() {
        for kind in ChangeKind::ALL {
            assert_eq!(read(&encode(&change(kind))), Ok(Some(change(kind))));
        }
        assert_eq!(read(&BEGINNING), Ok(None), "a topic begins without a change");
    }

    #[test]
    fn the_bytes_are_those_of_version_1() {
        let hex: String = encode(&change(ChangeKind::Identity)).iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = "0101fffe7fffffffffffffff\
                        fffffffffffffffe010203040506070800000000000000078\
                        3d362efaf164132b69d8099a8743c72";
        assert_eq!(hex, expected);
        assert_eq!(key(&change(ChangeKind::Identity)), "83d362ef-af16-4132-b69d-8099a8743c72");
    }

    #[test]
    fn bytes_that_are_not_a_record_are_refused_with_the_reason() {
        let good = encode(&change(ChangeKind::Upsert));
        let mut newer = good;
        newer[0] = 2;
        let mut unknown = good;
        unknown[1] = 4;
        let cases: [(&[u8], &str); 6] = [
            (&good[..51], "51 bytes"),
            (&newer, "version is 2"),
            (&unknown, "4 is not a kind"),
            (b"{\"after\":{}}", "Debezium"),
            (b"", "empty"),
            (&[good.as_slice(), b"x"].concat(), "53 bytes"),
        ];
        for (value, word) in cases {
            let error = read(value).expect_err("refused");
            assert!(error.contains(word), "{error} does not mention {word}");
        }
        assert!(decode(&TopicRecord::default()).is_err());
    }
}
