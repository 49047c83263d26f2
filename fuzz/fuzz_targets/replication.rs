//! Messages of a replication slot (pgoutput): each is two bytes of length, then its bytes.

use millstream_connectors::source::slot::fuzzing::messages;

const COLUMNS: [(&str, &str); 7] = [
    ("OutboxId", "8"),
    ("TransactionId", "7"),
    ("DocumentId", "6"),
    ("DocumentUuid", "00000000-0000-0000-0000-000000000005"),
    ("ResourceKeyId", "-2"),
    ("Kind", "identity"),
    ("ContentVersion", "4"),
];

pub fn seeds() -> Vec<Vec<u8>> {
    let mut relation = b"R\0\0\0\x09dms\0Outbox_20300101\0d\0\x07".to_vec();
    let mut insert = b"I\0\0\0\x09N\0\x07".to_vec();
    for (name, value) in COLUMNS {
        relation.extend([&[0], name.as_bytes(), b"\0\0\0\0\x14\xFF\xFF\xFF\xFF"].concat());
        insert.push(b't');
        insert.extend((value.len() as u32).to_be_bytes());
        insert.extend(value.as_bytes());
    }
    let framed = |message: &[u8]| [&(message.len() as u16).to_be_bytes(), message].concat();
    // Rows and relations that claim more columns than they have bytes.
    let claims = [&b"I\0\0\0\x09N\xFF\xFF"[..], b"R\0\0\0\x09dms\0Outbox\0d\xFF\xFF"];
    let with_null = b"I\0\0\0\x09N\0\x01n";
    let mut seeds = claims.map(framed).to_vec();
    seeds.extend([
        [framed(&relation), framed(&insert)].concat(),
        [framed(&relation), framed(with_null)].concat(),
        framed(b"T"),
    ]);
    seeds
}

pub fn read(bytes: &[u8]) {
    messages(bytes);
}
