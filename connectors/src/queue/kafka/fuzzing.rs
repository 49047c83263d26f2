//! The entrance of the crate `fuzz` to the records of the queue.

use uuid::Uuid;

use super::record::{arrival, carried, discard, entry_key, put, quarantined, quarantined_entry, release};
use super::window::{Arrival, Carry};

/// The member that reads, and the one that carried the entries that it encodes.
const MEMBERS: [Uuid; 2] = [Uuid::from_u128(1), Uuid::from_u128(2)];
const OWN_NUMBER: u64 = 4;

/// Decodes a record of a work topic and of a quarantine topic.
///
/// # Panics
/// When the encoding of a decoded record is decoded to another one.
pub fn queue_record(key: &[u8], value: &[u8]) {
    let [reader, other] = MEMBERS;
    let read = |key: &[u8], value: &[u8]| arrival(Some(key), Some(value), reader, |number| number == OWN_NUMBER);
    if let Ok(found) = read(key, value) {
        let (key, value) = match &found {
            Arrival::Put(work) => (entry_key(work.document_id), put(work)),
            Arrival::Carried(entry) => {
                let carry = Carry { number: OWN_NUMBER, entry: entry.clone() };
                (entry_key(entry.work.document_id), carried(&carry, other))
            }
            Arrival::OwnCarry(_) => return,
            Arrival::Release(command) => (Vec::new(), release(*command)),
            Arrival::Discard(command) => (Vec::new(), discard(*command)),
        };
        assert_eq!(read(&key, &value), Ok(found));
    }
    if let Ok(entry) = quarantined_entry(key, value) {
        let read = quarantined_entry(&entry_key(entry.work.document_id), &quarantined(&entry));
        assert_eq!(read, Ok(entry));
    }
}
