//! The entrance of the crate `fuzz` to the messages of a replication slot.

use bytes::Bytes;

use super::pgoutput::{Message, Relation, decode};

/// Decodes messages: each is two bytes of length, then its bytes. As in a stream, rows follow the relation that
/// describes them.
pub fn messages(mut stream: &[u8]) {
    let mut outbox: Option<Relation> = None;
    while let Some((length, rest)) = stream.split_first_chunk() {
        let (message, rest) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes(*length))));
        stream = rest;
        match decode(Bytes::copy_from_slice(message)) {
            Ok(Message::Relation(relation)) if relation.is_outbox() => outbox = Some(relation),
            Ok(Message::Insert(insert)) => {
                let columns = outbox.as_ref().map(Relation::outbox_columns);
                if let Some(Ok(columns)) = columns {
                    drop(columns.change(&insert.values));
                }
            }
            Ok(_) | Err(_) => {}
        }
    }
}
