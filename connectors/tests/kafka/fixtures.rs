//! Records of a real Debezium connector (`connectors/tests/debezium`), as recorded and as templates for others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millstream_connectors::source::topic::RecordForm;
use millstream_pipeline::Change;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Map, Value};

const WRITTEN_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

/// A recorded topic and its form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recording {
    pub(crate) name: &'static str,
    pub(crate) form: RecordForm,
    text: &'static str,
}

macro_rules! recording {
    ($name:literal, $form:ident) => {
        Recording { name: $name, form: RecordForm::$form, text: include_str!(concat!("../debezium/", $name, ".jsonl")) }
    };
}

pub(crate) const ENVELOPE: Recording = recording!("envelope", DebeziumEnvelope);
pub(crate) const SCHEMAS: Recording = recording!("schemas", DebeziumEnvelope);
pub(crate) const FLATTENED: Recording = recording!("flattened", DebeziumFlattened);
pub(crate) const ROUTER: Recording = recording!("router", DebeziumRouter);
pub(crate) const HEADERS: Recording = recording!("headers", DebeziumRouter);
pub(crate) const EVERYTHING: Recording = recording!("everything", DebeziumEnvelope);

pub(crate) const ALL: [Recording; 6] = [ENVELOPE, SCHEMAS, FLATTENED, ROUTER, HEADERS, EVERYTHING];

/// A recorded record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorded {
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) headers: Vec<(String, Option<String>)>,
}

impl Recording {
    pub(crate) fn records(&self) -> Vec<Recorded> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let record = |line: &str| {
            let line: Value = serde_json::from_str(line).expect("a line is JSON");
            let headers = line["headers"].as_array().expect("headers");
            let header = |header: &Value| (text(&header[0]).expect("a name"), text(&header[1]));
            Recorded {
                key: text(&line["key"]),
                value: text(&line["value"]),
                headers: headers.iter().map(header).collect(),
            }
        };
        self.text.lines().map(record).collect()
    }

    /// Returns a record for this change: a recorded one with its values.
    pub(crate) fn like(&self, change: &Change) -> Recorded {
        let mut record = self.records().pop().expect("a record");
        let old: Value = changes_as_json().pop().expect("a change");
        let uuid = old["document_uuid"].as_str().expect("a uuid");
        record.key = record.key.map(|key| key.replace(uuid, &change.document_uuid.to_string()));
        let mut value: Value = serde_json::from_str(&record.value.expect("a value")).expect("JSON");
        fill(&mut value, change);
        record.value = Some(value.to_string());
        record
    }
}

/// Sets the columns of a row at any depth of the value.
fn fill(value: &mut Value, change: &Change) {
    let Value::Object(members) = value else { return };
    for (name, value) in members.iter_mut() {
        match column(name, change) {
            Some(column) => *value = column,
            None => fill(value, change),
        }
    }
    // The router's payload is the kind; the payload of a value with its schema is an object.
    if let Some(payload @ Value::String(_)) = members.get_mut("payload") {
        *payload = Value::from(change.kind.as_str());
    }
}

fn column(name: &str, change: &Change) -> Option<Value> {
    Some(match name {
        "OutboxId" => Value::from(change.outbox_id),
        "TransactionId" => Value::from(STANDARD.encode(change.xid.to_string())),
        "DocumentId" => Value::from(change.document_id),
        "DocumentUuid" => Value::from(change.document_uuid.to_string()),
        "ResourceKeyId" => Value::from(change.resource_key),
        "Kind" => Value::from(change.kind.as_str()),
        "ContentVersion" => Value::from(change.content_version),
        _ => return None,
    })
}

fn changes_as_json() -> Vec<Value> {
    let text = include_str!("../debezium/changes.jsonl");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// The changes of every recording.
pub(crate) fn changes() -> Vec<Change> {
    let change = |line: Value| {
        let members: &Map<String, Value> = line.as_object().expect("an object");
        let number = |name: &str| members[name].as_i64().expect("a number");
        let text = |name: &str| members[name].as_str().expect("a string");
        Change {
            outbox_id: number("outbox_id"),
            xid: number("xid").cast_unsigned(),
            document_id: number("document_id"),
            document_uuid: text("document_uuid").parse().expect("a uuid"),
            resource_key: number("resource_key") as i16,
            kind: text("kind").parse().expect("a kind"),
            content_version: number("content_version"),
        }
    };
    changes_as_json().into_iter().map(change).collect()
}

/// Writes a record into a topic.
pub(crate) async fn write(producer: &FutureProducer, topic: &str, record: &Recorded) {
    let add = |headers: OwnedHeaders, (name, value): &(String, Option<String>)| {
        headers.insert(Header { key: name, value: value.as_ref() })
    };
    let headers = record.headers.iter().fold(OwnedHeaders::new(), add);
    let mut message: FutureRecord<'_, String, String> = FutureRecord::to(topic).headers(headers);
    message.key = record.key.as_ref();
    message.payload = record.value.as_ref();
    producer.send(message, WRITTEN_WITHIN).await.expect("written");
}
