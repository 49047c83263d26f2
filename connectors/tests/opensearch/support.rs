//! Indexes under a unique prefix, and documents of the small schema.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use millstream_connectors::sink::opensearch::{OpenSearchIndexes, OpenSearchOptions};
use millstream_pipeline::sink::generations::Generations;
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Held, Outcome, Sink};
use millstream_search::SearchModel;
use millstream_testkit::World;
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Returns a prefix unique to a test.
pub(crate) fn new_prefix() -> String {
    format!("t{}", Uuid::new_v4().simple())
}

/// The fields of the small schema.
pub(crate) fn model() -> Arc<SearchModel> {
    static MODEL: OnceLock<Arc<SearchModel>> = OnceLock::new();
    Arc::clone(MODEL.get_or_init(|| Arc::new(SearchModel::of(&World::fixtures().mapping))))
}

/// Returns the key of a resource of the small schema.
pub(crate) fn resource_key(endpoint: &str) -> i16 {
    model().iter().find(|resource| resource.endpoint == endpoint).expect("a resource of the small schema").key
}

pub(crate) fn options(url: &str, prefix: &str) -> OpenSearchOptions {
    OpenSearchOptions { answer_timeout: Duration::from_secs(20), ..OpenSearchOptions::new(url, prefix, model()) }
}

/// Opens the indexes and the sink of their live generation.
pub(crate) async fn open(options: OpenSearchOptions) -> (OpenSearchIndexes, Arc<dyn Sink>) {
    let indexes = OpenSearchIndexes::new(options).expect("the options are right");
    let live = indexes.live().await.unwrap_or_else(|error| panic!("{error}"));
    let sink = indexes.sink(live).expect("a sink");
    sink.prepare().await.unwrap_or_else(|error| panic!("{error}"));
    (indexes, sink)
}

pub(crate) fn key(number: u128) -> DocumentKey {
    let uuid = Uuid::from_u128(0x05EA_0000_0000_4000_8000_0000_0000_0000 + number);
    DocumentKey { uuid, resource_key: resource_key("districts") }
}

/// A district with this name.
pub(crate) fn district(uuid: Uuid, version: i64, name: &str) -> Bytes {
    let name = Value::from(name);
    Bytes::from(format!(
        r#"{{"id":"{uuid}","districtId":{version},"nameOfInstitution":{name},"_etag":"{version}","_lastModifiedDate":"2031-08-20T09:15:00Z"}}"#
    ))
}

pub(crate) fn upsert(number: u128, version: i64, name: &str) -> Delivery {
    let key = key(number);
    Delivery { key, version, content: Content::Document(district(key.uuid, version, name)), repair: false }
}

pub(crate) fn delete(number: u128, version: i64) -> Delivery {
    Delivery { key: key(number), version, content: Content::Deleted, repair: false }
}

pub(crate) fn assert_all_done(outcomes: &[Outcome]) {
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
}

/// Returns all documents of a sink through its scan.
pub(crate) async fn state(sink: &dyn Sink) -> BTreeMap<Uuid, (i64, Bytes)> {
    let mut scan = sink.scan().await.unwrap_or_else(|error| panic!("{error}"));
    let mut state = BTreeMap::new();
    loop {
        let page = scan.next().await.unwrap_or_else(|error| panic!("{error}"));
        if page.is_empty() {
            return state;
        }
        for Held { uuid, version, content, .. } in page {
            let Content::Document(json) = content else { panic!("an index has no deletes") };
            let before = state.insert(uuid, (version.expect("a version"), json));
            assert!(before.is_none(), "{uuid} came twice");
        }
    }
}

/// Sends a request to the node without the sink. Returns the status and the body.
pub(crate) async fn ask(url: &str, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let client = millstream_testkit::http_client().build().expect("an HTTP client");
    let request = client.request(method, format!("{url}{path}")).header("content-type", "application/json");
    let request = match body {
        Some(body) => request.body(body.to_string()),
        None => request,
    };
    let response = request.send().await.expect("a response");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a complete response");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
