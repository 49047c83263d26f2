//! Decoder of the pgoutput messages (protocol 1) that an outbox needs: relations and inserted rows.

use std::str::FromStr;

use bytes::{Buf, Bytes};
use millstream_pipeline::Change;
use millstream_pipeline::source::SourceError;

/// A decoded message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// The columns of a relation. Sent before its first row and after each change.
    Relation(Relation),
    /// An inserted row.
    Insert(Insert),
    /// A message that the outbox does not need: a type, an origin, an update, a delete, a truncation.
    Other,
}

/// A relation of the publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) columns: Vec<String>,
}

/// An inserted row in text form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Insert {
    pub(super) relation: u32,
    pub(super) values: Vec<Option<Bytes>>,
}

/// Indexes of the outbox's columns in the rows of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutboxColumns {
    outbox_id: usize,
    xid: usize,
    document_id: usize,
    document_uuid: usize,
    resource_key: usize,
    kind: usize,
    content_version: usize,
}

/// Decodes one message.
pub(super) fn decode(data: Bytes) -> Result<Message, SourceError> {
    let mut reader = MessageReader { data };
    match reader.u8()? {
        b'R' => relation(&mut reader).map(Message::Relation),
        b'I' => insert(&mut reader).map(Message::Insert),
        b'Y' | b'O' | b'T' | b'U' | b'D' | b'M' => Ok(Message::Other),
        tag => Err(unreadable(format!("a pgoutput message of unknown type {:?}", tag as char))),
    }
}

fn relation(reader: &mut MessageReader) -> Result<Relation, SourceError> {
    let oid = reader.u32()?;
    let schema = reader.string()?;
    let name = reader.string()?;
    reader.u8()?; // replica identity
    let count = reader.u16()?;
    let mut columns = Vec::with_capacity(reader.at_most(count));
    for _ in 0..count {
        reader.u8()?; // flags
        columns.push(reader.string()?);
        reader.u32()?; // type
        reader.u32()?; // type modifier
    }
    Ok(Relation { oid, schema, name, columns })
}

fn insert(reader: &mut MessageReader) -> Result<Insert, SourceError> {
    let relation = reader.u32()?;
    if reader.u8()? != b'N' {
        return Err(unreadable("an inserted row without its new values".to_owned()));
    }
    let count = reader.u16()?;
    let mut values = Vec::with_capacity(reader.at_most(count));
    for _ in 0..count {
        values.push(match reader.u8()? {
            b'n' => None,
            b't' => {
                let length = reader.u32()? as usize;
                Some(reader.bytes(length)?)
            }
            form => return Err(unreadable(format!("a column value in the unknown form {:?}", form as char))),
        });
    }
    Ok(Insert { relation, values })
}

impl Relation {
    /// Returns whether this is the outbox or a partition of it.
    pub(super) fn is_outbox(&self) -> bool {
        self.schema == "dms" && (self.name == "Outbox" || self.name.starts_with("Outbox_"))
    }

    /// Finds the outbox's columns by name, in any order and among others.
    pub(super) fn outbox_columns(&self) -> Result<OutboxColumns, SourceError> {
        let find = |name: &str| {
            self.columns.iter().position(|column| column == name).ok_or_else(|| {
                let Self { schema, name: table, .. } = self;
                unreadable(format!("{schema}.{table} is published without its column {name:?}: publish all columns"))
            })
        };
        Ok(OutboxColumns {
            outbox_id: find("OutboxId")?,
            xid: find("TransactionId")?,
            document_id: find("DocumentId")?,
            document_uuid: find("DocumentUuid")?,
            resource_key: find("ResourceKeyId")?,
            kind: find("Kind")?,
            content_version: find("ContentVersion")?,
        })
    }
}

impl OutboxColumns {
    /// Decodes a row into its change record.
    pub(super) fn change(&self, values: &[Option<Bytes>]) -> Result<Change, SourceError> {
        Ok(Change {
            outbox_id: field(values, self.outbox_id, "OutboxId")?,
            xid: field(values, self.xid, "TransactionId")?,
            document_id: field(values, self.document_id, "DocumentId")?,
            document_uuid: field(values, self.document_uuid, "DocumentUuid")?,
            resource_key: field(values, self.resource_key, "ResourceKeyId")?,
            kind: field(values, self.kind, "Kind")?,
            content_version: field(values, self.content_version, "ContentVersion")?,
        })
    }
}

fn field<T: FromStr>(values: &[Option<Bytes>], column: usize, name: &str) -> Result<T, SourceError> {
    let text = values.get(column).and_then(Option::as_ref).and_then(|bytes| str::from_utf8(bytes).ok());
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        unreadable(format!("a row of the outbox with {name:?} = {text:?}, which this version cannot read"))
    })
}

/// Reads from the front of a message. A message that is too short is an error.
struct MessageReader {
    data: Bytes,
}

impl MessageReader {
    fn bytes(&mut self, length: usize) -> Result<Bytes, SourceError> {
        if self.data.len() < length {
            return Err(unreadable("a pgoutput message that ends too early".to_owned()));
        }
        Ok(self.data.split_to(length))
    }

    /// Bounds a number of elements that the message claims: each takes a byte at least.
    fn at_most(&self, count: u16) -> usize {
        usize::from(count).min(self.data.len())
    }

    fn u8(&mut self) -> Result<u8, SourceError> {
        self.bytes(1).map(|mut bytes| bytes.get_u8())
    }

    fn u16(&mut self) -> Result<u16, SourceError> {
        self.bytes(2).map(|mut bytes| bytes.get_u16())
    }

    fn u32(&mut self) -> Result<u32, SourceError> {
        self.bytes(4).map(|mut bytes| bytes.get_u32())
    }

    /// Reads text that ends with a zero byte.
    fn string(&mut self) -> Result<String, SourceError> {
        let length = self.data.iter().position(|byte| *byte == 0).unwrap_or(self.data.len());
        let text = self.bytes(length)?;
        self.u8()?;
        String::from_utf8(text.to_vec()).map_err(|_| unreadable("a name that is not UTF-8".to_owned()))
    }
}

fn unreadable(what: String) -> SourceError {
    SourceError::Unreadable(what)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};
    use millstream_pipeline::ChangeKind;
    use uuid::Uuid;

    /// A relation message for a table with these columns.
    pub(in crate::source::slot) fn relation_message(oid: u32, name: &str, columns: &[&str]) -> Bytes {
        let mut data = BytesMut::new();
        data.put_u8(b'R');
        data.put_u32(oid);
        data.put_slice(b"dms\0");
        data.put_slice(name.as_bytes());
        data.put_slice(b"\0d");
        data.put_u16(columns.len() as u16);
        for column in columns {
            data.put_u8(0);
            data.put_slice(column.as_bytes());
            data.put_slice(b"\0\0\0\0\x14\xFF\xFF\xFF\xFF");
        }
        data.freeze()
    }

    /// An insert message with these values.
    pub(in crate::source::slot) fn insert_message(oid: u32, values: &[Option<&str>]) -> Bytes {
        let mut data = BytesMut::new();
        data.put_u8(b'I');
        data.put_u32(oid);
        data.put_u8(b'N');
        data.put_u16(values.len() as u16);
        for value in values {
            match value {
                None => data.put_u8(b'n'),
                Some(text) => {
                    data.put_u8(b't');
                    data.put_u32(text.len() as u32);
                    data.put_slice(text.as_bytes());
                }
            }
        }
        data.freeze()
    }

    const UUID: &str = "00000000-0000-0000-0000-000000000005";

    #[test]
    fn columns_are_found_by_name() {
        let columns = [
            "Extra",
            "ContentVersion",
            "Kind",
            "ResourceKeyId",
            "DocumentUuid",
            "DocumentId",
            "TransactionId",
            "OutboxId",
        ];
        let Ok(Message::Relation(relation)) = decode(relation_message(9, "Outbox", &columns)) else {
            panic!("relation")
        };
        assert!(relation.is_outbox());
        let values = [None, Some("4"), Some("identity"), Some("-2"), Some(UUID), Some("6"), Some("7"), Some("8")];
        let Ok(Message::Insert(insert)) = decode(insert_message(9, &values)) else { panic!("insert") };
        let change = relation.outbox_columns().and_then(|columns| columns.change(&insert.values)).expect("a change");
        let expected = Change {
            outbox_id: 8,
            xid: 7,
            document_id: 6,
            document_uuid: Uuid::from_u128(5),
            resource_key: -2,
            kind: ChangeKind::Identity,
            content_version: 4,
        };
        assert_eq!(change, expected);
    }

    #[test]
    fn a_claimed_number_of_columns_takes_no_memory() {
        let reader = MessageReader { data: Bytes::from_static(b"nn") };
        assert_eq!((reader.at_most(u16::MAX), reader.at_most(1)), (2, 1));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let Ok(Message::Relation(relation)) = decode(relation_message(9, "Outbox", &["OutboxId"])) else { panic!() };
        assert!(relation.outbox_columns().is_err_and(|error| error.to_string().contains("TransactionId")));
        let message = relation_message(9, "Outbox", &["OutboxId", "TransactionId"]);
        for length in 0..message.len() {
            assert!(decode(message.slice(..length)).is_err(), "{length} bytes were taken for a whole message");
        }
        let message = insert_message(9, &[None, Some("x")]);
        for length in 0..message.len() {
            assert!(decode(message.slice(..length)).is_err(), "{length} bytes were taken for a whole message");
        }
        assert!(decode(Bytes::from_static(b"?")).is_err());
        assert_eq!(decode(Bytes::from_static(b"T")).ok(), Some(Message::Other));
    }
}
