//! Encoding and decoding of a record: key, value and headers.
//!
//! The value's members have a fixed order, and `document` is the delivered bytes, spliced in unchanged: a decimal never
//! passes through a floating-point number, and a reader of the topic gets the bytes of the GET response.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use millstream_pipeline::sink::{Content, Delivery, Held};
use millstream_schema::apischema::ResourceKey;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// The only version so far.
const CONTRACT_VERSION: &str = "1";

pub(super) const CONTRACT_VERSION_HEADER: &str = "contractVersion";
pub(super) const CONTENT_VERSION_HEADER: &str = "contentVersion";
pub(super) const PROJECT_HEADER: &str = "projectName";
pub(super) const RESOURCE_HEADER: &str = "resourceName";

/// Upper bound of the overhead of a one-record batch: its header of 61 bytes, and the record's lengths, attributes and
/// deltas as varints.
const RECORD_OVERHEAD_BYTES: usize = 61 + 32;
/// Upper bound of the varint lengths of a header's name and value.
const HEADER_OVERHEAD_BYTES: usize = 4;

/// Names of the resources, prepared for encoding and decoding.
pub(super) struct ResourceNames {
    by_key: BTreeMap<i16, ResourceName>,
    /// By project, then by resource.
    keys: HashMap<String, HashMap<String, i16>>,
}

struct ResourceName {
    /// `"projectName":"Ed-Fi","resourceName":"School","resourceVersion":"5.2.0"`
    members: String,
    project: String,
    resource: String,
}

impl ResourceNames {
    pub(super) fn new(resources: &[ResourceKey]) -> Self {
        let text = |value: &str| serde_json::Value::from(value).to_string();
        let named = resources.iter().map(|key| {
            let members = format!(
                r#""projectName":{},"resourceName":{},"resourceVersion":{}"#,
                text(&key.project_name),
                text(&key.resource_name),
                text(&key.resource_version)
            );
            let name = ResourceName { members, project: key.project_name.clone(), resource: key.resource_name.clone() };
            (key.id, name)
        });
        let mut keys: HashMap<String, HashMap<String, i16>> = HashMap::new();
        for key in resources {
            keys.entry(key.project_name.clone()).or_default().insert(key.resource_name.clone(), key.id);
        }
        Self { by_key: named.collect(), keys }
    }

    fn key(&self, project: &str, resource: &str) -> Option<i16> {
        self.keys.get(project)?.get(resource).copied()
    }
}

/// An encoded record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DocumentRecord {
    pub(super) key: String,
    /// `None` for a tombstone.
    pub(super) value: Option<Vec<u8>>,
    headers: [(&'static str, String); 4],
}

impl DocumentRecord {
    pub(super) fn headers(&self) -> OwnedHeaders {
        self.headers.iter().fold(OwnedHeaders::new_with_capacity(self.headers.len()), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value.as_bytes()) })
        })
    }

    /// Returns an upper bound of the record's size for the broker's limit, compressed or not.
    pub(super) fn bytes_max(&self) -> usize {
        let headers = self.headers.iter().map(|(key, value)| key.len() + value.len() + HEADER_OVERHEAD_BYTES);
        RECORD_OVERHEAD_BYTES + self.key.len() + self.value.as_ref().map_or(0, Vec::len) + headers.sum::<usize>()
    }
}

#[derive(Deserialize)]
struct LastModified<'a> {
    #[serde(borrow, rename = "_lastModifiedDate")]
    last_modified_at: &'a RawValue,
}

/// A document or record that does not follow the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct EnvelopeError(String);

impl From<String> for EnvelopeError {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

/// Encodes a delivery.
pub(super) fn encode(delivery: &Delivery, names: &ResourceNames) -> Result<DocumentRecord, EnvelopeError> {
    let Some(name) = names.by_key.get(&delivery.key.resource_key) else {
        return Err(format!("the schema has no resource with the key {}", delivery.key.resource_key).into());
    };
    let key = delivery.key.uuid.hyphenated().to_string();
    let value = match &delivery.content {
        Content::Document(json) => Some(value(&key, name, delivery.version, json)?),
        Content::Deleted => None,
    };
    let headers = [
        (CONTRACT_VERSION_HEADER, CONTRACT_VERSION.to_owned()),
        (CONTENT_VERSION_HEADER, delivery.version.to_string()),
        (PROJECT_HEADER, name.project.clone()),
        (RESOURCE_HEADER, name.resource.clone()),
    ];
    Ok(DocumentRecord { key, value, headers })
}

fn value(key: &str, name: &ResourceName, version: i64, json: &Bytes) -> Result<Vec<u8>, EnvelopeError> {
    let stamp: LastModified<'_> = serde_json::from_slice(json)
        .map_err(|error| format!("the document is not a JSON object with _lastModifiedDate: {error}"))?;
    let stamp = stamp.last_modified_at.get();
    if !stamp.starts_with('"') {
        return Err(format!("_lastModifiedDate of the document is not a string: {stamp}").into());
    }
    let members = &name.members;
    let head = format!(
        r#"{{"contractVersion":{CONTRACT_VERSION},"documentUuid":"{key}",{members},"contentVersion":{version},"lastModifiedAt":{stamp},"document":"#
    );
    let mut value = Vec::with_capacity(head.len() + json.len() + 1);
    value.extend_from_slice(head.as_bytes());
    value.extend_from_slice(json);
    value.push(b'}');
    Ok(value)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordEnvelope<'a> {
    contract_version: u32,
    document_uuid: Uuid,
    #[serde(borrow)]
    project_name: Cow<'a, str>,
    #[serde(borrow)]
    resource_name: Cow<'a, str>,
    content_version: i64,
    #[serde(borrow)]
    document: &'a RawValue,
}

/// Decodes a record of the topic.
pub(super) fn decode(message: &impl Message, names: &ResourceNames) -> Result<Held, EnvelopeError> {
    let key = message.key().ok_or_else(|| "it has no key".to_owned())?;
    let uuid = Uuid::try_parse_ascii(key).map_err(|error| format!("its key is not a document id: {error}"))?;
    let Some(value) = message.payload() else {
        return Ok(Held { uuid, version: header_version(message), resource_key: None, content: Content::Deleted });
    };
    let envelope: RecordEnvelope<'_> =
        serde_json::from_slice(value).map_err(|error| format!("invalid value: {error}"))?;
    if envelope.contract_version.to_string() != CONTRACT_VERSION {
        return Err(format!("it has contract version {}", envelope.contract_version).into());
    }
    if envelope.document_uuid != uuid {
        return Err(format!("its key is {uuid}, its value is about {}", envelope.document_uuid).into());
    }
    let document = Bytes::copy_from_slice(envelope.document.get().as_bytes());
    let resource_key = names.key(&envelope.project_name, &envelope.resource_name);
    Ok(Held { uuid, version: Some(envelope.content_version), resource_key, content: Content::Document(document) })
}

/// Reads a tombstone's version from its header. A tombstone of another writer may have none.
fn header_version(message: &impl Message) -> Option<i64> {
    let headers = message.headers()?;
    let version = headers.iter().find(|header| header.key == CONTENT_VERSION_HEADER)?.value?;
    std::str::from_utf8(version).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_pipeline::sink::DocumentKey;
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    const ID: &str = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

    fn names() -> ResourceNames {
        let key = |id, resource: &str| ResourceKey {
            id,
            project_name: "Ed-Fi".to_owned(),
            resource_name: resource.to_owned(),
            resource_version: "5.2.0".to_owned(),
        };
        ResourceNames::new(&[key(7, "School"), key(8, "A \"quoted\" name")])
    }

    fn delivery(resource_key: i16, content: Content) -> Delivery {
        let uuid = Uuid::parse_str(ID).expect("an id");
        Delivery { key: DocumentKey { uuid, resource_key }, version: 42, content, repair: false }
    }

    fn document(json: &'static str) -> Content {
        Content::Document(Bytes::from_static(json.as_bytes()))
    }

    fn message(record: &DocumentRecord) -> OwnedMessage {
        let key = Some(record.key.clone().into_bytes());
        OwnedMessage::new(
            record.value.clone(),
            key,
            "t".to_owned(),
            Timestamp::NotAvailable,
            0,
            0,
            Some(record.headers()),
        )
    }

    const BODY: &str = r#"{"id":"f81d4fae-7dec-11d0-a765-00a0c91e6bf6","_etag":"42","_lastModifiedDate":"2031-08-20T09:15:00Z","amount":10.500000000000000000001,  "x":1E3}"#;

    #[test]
    fn a_record_is_this_byte_for_byte() {
        let record = encode(&delivery(7, document(BODY)), &names()).expect("a record");
        let expected = r#"{"contractVersion":1,"documentUuid":"f81d4fae-7dec-11d0-a765-00a0c91e6bf6","projectName":"Ed-Fi","resourceName":"School","resourceVersion":"5.2.0","contentVersion":42,"lastModifiedAt":"2031-08-20T09:15:00Z","document":"#;
        let value = String::from_utf8(record.value.clone().expect("a value")).expect("text");
        assert_eq!(value, format!("{expected}{BODY}}}"));
        assert_eq!(record.key, ID);
        let headers =
            [("contractVersion", "1"), ("contentVersion", "42"), ("projectName", "Ed-Fi"), ("resourceName", "School")];
        assert_eq!(record.headers, headers.map(|(key, value)| (key, value.to_owned())));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for content in [document(BODY), Content::Deleted] {
            let sent = delivery(8, content);
            let record = encode(&sent, &names()).expect("a record");
            let held = decode(&message(&record), &names()).expect("it is ours");
            let resource_key = matches!(sent.content, Content::Document(_)).then_some(8);
            assert_eq!(held, Held { uuid: sent.key.uuid, version: Some(42), resource_key, content: sent.content });
        }
    }

    #[test]
    fn what_is_no_document_gets_no_record() {
        for (content, named) in [
            (document("[]"), "not a JSON object"),
            (document(r#"{"id":"1"}"#), "_lastModifiedDate"),
            (document(r#"{"_lastModifiedDate":5}"#), "not a string: 5"),
            (document(r#"{"_lastModifiedDate":"2031-08-20T09:15:00Z""#), "EOF"),
        ] {
            let refused = encode(&delivery(7, content), &names()).expect_err("refused");
            assert!(refused.0.contains(named), "{refused}");
        }
        assert!(encode(&delivery(9, Content::Deleted), &names()).expect_err("refused").0.contains("the key 9"));
    }

    #[test]
    fn what_is_not_ours_is_named() {
        let record = encode(&delivery(7, document(BODY)), &names()).expect("a record");
        let other = record
            .value
            .clone()
            .map(|value| String::from_utf8(value).expect("text").replace("Version\":1", "Version\":2"));
        let foreign = DocumentRecord { value: other.map(String::into_bytes), ..record.clone() };
        assert!(decode(&message(&foreign), &names()).expect_err("refused").0.contains("contract version 2"));
        let misplaced = DocumentRecord { key: "00000000-0000-0000-0000-000000000001".to_owned(), ..record };
        assert!(decode(&message(&misplaced), &names()).expect_err("refused").0.contains("is about f81d4fae"));
    }
}
