//! Records of Kafka topics: changes in every form, the queue's, and documents.

use crate::fixture::MAPPING;
use millstream_connectors::queue::kafka::fuzzing::queue_record;
use millstream_connectors::sink::kafka::fuzzing::Names;
use millstream_connectors::source::topic::RecordForm;
use millstream_connectors::source::topic::fuzzing::change_record;
use millstream_schema::apischema::ResourceKey;
use std::sync::LazyLock;

const ROW: &str = r#"{"OutboxId":8,"TransactionId":"7","DocumentId":6,"DocumentUuid":"00000000-0000-0000-0000-000000000005","ResourceKeyId":-2,"Kind":"upsert","ContentVersion":4}"#;
const ID: &str = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

/// The first byte is the form, the second the length of the header's value, which comes next.
pub fn changes() -> Vec<Vec<u8>> {
    let mut own = vec![1, 2, 0, 3];
    own.extend((0..48).map(|byte| byte * 3));
    let envelope = format!(r#"{{"op":"c","before":null,"after":{ROW},"source":{{"lsn":5}}}}"#);
    let schema = format!(r#"{{"schema":{{"type":"struct"}},"payload":{ROW}}}"#);
    let deleted = r#"{"op":"d","before":{"OutboxId":8},"after":null}"#;
    let routed = ROW.replace("Kind", "payload");
    let seed = |form: u8, value: &[u8]| [&[form, 4], &b"edit"[..], value].concat();
    vec![
        seed(0, &own),
        seed(0, &[1]),
        seed(1, envelope.as_bytes()),
        seed(1, deleted.as_bytes()),
        seed(2, ROW.as_bytes()),
        seed(2, schema.as_bytes()),
        seed(3, routed.as_bytes()),
        seed(3, b"\"upsert\""),
    ]
}

/// A change in our own form is encoded as the record that it was decoded from.
pub fn read_change(bytes: &[u8]) {
    let [form, length, rest @ ..] = bytes else { return };
    let (header, value) = rest.split_at(rest.len().min(usize::from(*length)));
    let form = RecordForm::ALL[usize::from(*form) % RecordForm::ALL.len()];
    change_record(form, ("Kind", header), Some(value).filter(|value| !value.is_empty()));
}

/// The first byte is the length of the key, which comes next.
pub fn queue_records() -> Vec<Vec<u8>> {
    let key = b"-7";
    let entry = |flags: u8, failure: &[u8]| {
        let numbers = [3_u64, 1 << 40, 9].map(u64::to_be_bytes).concat();
        [&[flags], &[9; 16][..], &[0, 3], &numbers, &[0; 12], failure].concat()
    };
    let failure = [&[0; 16][..], b"it failed"].concat();
    let values = [
        [vec![1, 0], entry(2, b"")].concat(),
        [vec![1, 1], vec![0; 15], vec![2], vec![0; 8], entry(6 | 32, &failure)].concat(),
        [vec![1, 1], vec![0; 15], vec![1], vec![0, 0, 0, 0, 0, 0, 0, 4], entry(6, b"")].concat(),
        [vec![1, 2], vec![0; 16]].concat(),
        [vec![1, 3], vec![0; 16]].concat(),
        [vec![1], entry(2 | 16 | 32, &failure)].concat(),
    ];
    values.map(|value| [&[key.len() as u8], &key[..], &value].concat()).to_vec()
}

/// The encoding of a record that was decoded is decoded to the same.
pub fn read_queue_record(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first() else { return };
    let (key, value) = rest.split_at(rest.len().min(usize::from(*length)));
    queue_record(key, value);
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let key = |resource: &millstream_schema::plan::ResourcePlan| ResourceKey {
        id: resource.key,
        project_name: resource.project_name.clone(),
        resource_name: resource.resource_name.clone(),
        resource_version: resource.resource_version.clone(),
    };
    Names::new(&MAPPING.resources.iter().map(key).collect::<Vec<_>>())
});

pub fn documents() -> Vec<Vec<u8>> {
    let value = format!(
        r#"{{"contractVersion":1,"documentUuid":"{ID}","projectName":"meadow","resourceName":"students","resourceVersion":"5.2.0","contentVersion":42,"lastModifiedAt":"2031-08-20T09:15:00Z","document":{{"id":"{ID}","amount":10.50,"x":1E3}}}}"#
    );
    vec![[ID.as_bytes(), value.as_bytes()].concat()]
}

/// The key is the beginning of the input.
pub fn read_document(bytes: &[u8]) {
    let (key, value) = bytes.split_at(bytes.len().min(ID.len()));
    NAMES.document_record(key, value);
}
