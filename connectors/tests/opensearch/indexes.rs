//! The state of the node: indexes, settings, mappings.

use millstream_connectors::sink::opensearch::{OpenSearchIndexes, OpenSearchOptions};
use millstream_pipeline::sink::generations::{Generation, Generations};
use millstream_pipeline::sink::{Content, Delivery, Outcome, RetryCause, SinkError};
use millstream_schema::{apischema, plan};
use millstream_search::SearchModel;
use millstream_testkit::OpenSearchNode;
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::support::{ask, assert_all_done, delete, key, new_prefix, open, options, resource_key, state, upsert};

/// Returns the names of all indexes under a prefix.
async fn names(url: &str, prefix: &str) -> BTreeSet<String> {
    let (_, all) = ask(url, Method::GET, &format!("/_cat/indices/{prefix}.*?format=json&h=index"), None).await;
    let all = all.as_array().expect("a list").iter();
    all.map(|row| row["index"].as_str().expect("a name").trim_start_matches(prefix).to_owned()).collect()
}

#[tokio::test]
async fn an_index_is_created_with_its_first_document_and_descriptors_share_one() {
    let url = OpenSearchNode::shared().await.url();
    let prefix = new_prefix();
    let (_, sink) = open(options(&url, &prefix)).await;
    assert_eq!(names(&url, &prefix).await, BTreeSet::from([".g1.descriptors".to_owned()]));
    let of = |number: u128, endpoint: &str| {
        let mut delivery = upsert(number, 5, "one");
        delivery.key.resource_key = resource_key(endpoint);
        delivery
    };
    let all = [of(1, "districts"), of(2, "termDescriptors"), of(3, "gradeLevelDescriptors"), of(4, "students")];
    assert_all_done(&sink.put(&all).await);
    let expected = [".g1.descriptors", ".g1.meadow.districts", ".g1.meadow.students"];
    assert_eq!(names(&url, &prefix).await, expected.map(str::to_owned).into());
    let (status, read) =
        ask(&url, Method::GET, &format!("/{prefix}.read.meadow.districts/_doc/{}", key(1).uuid), None).await;
    assert_eq!((status, &read["_source"]["resource"]), (200, &json!("meadow/districts")), "{read}");
    assert_eq!(state(&*sink).await.len(), 4);
}

#[tokio::test]
async fn a_delete_before_the_first_document_of_a_type_leaves_the_alias_an_alias() {
    let url = OpenSearchNode::shared().await.url();
    let prefix = new_prefix();
    let (_, sink) = open(options(&url, &prefix)).await;
    assert_all_done(&sink.put(&[delete(1, 5)]).await);
    assert_all_done(&sink.put(&[upsert(2, 6, "two")]).await);
    assert_eq!(sink.put(&[upsert(1, 4, "late")]).await, [Outcome::Superseded], "the delete is remembered");
    assert_eq!(names(&url, &prefix).await, [".g1.descriptors", ".g1.meadow.districts"].map(str::to_owned).into());
}

#[tokio::test]
async fn a_poison_document_is_rejected_alone() {
    let url = OpenSearchNode::shared().await.url();
    let (_, sink) = open(options(&url, &new_prefix())).await;
    let body = |text: &str| Content::Document(text.to_owned().into());
    let poison = |number, content| Delivery { content, ..upsert(number, 5, "") };
    let all = [
        upsert(1, 5, "sound"),
        poison(2, body(r#"{"districtId":"no number"}"#)),
        poison(3, body(r#"{"districtId":}"#)),
        poison(4, body("{\n\"districtId\":\"nor this\"}")),
        Delivery { key: millstream_pipeline::sink::DocumentKey { resource_key: 9_999, ..key(5) }, ..upsert(5, 5, "") },
        upsert(6, 5, "sound"),
        poison(7, body("{\n\"districtId\": 7\n}")),
    ];
    let outcomes = sink.put(&all).await;
    assert_all_done(&[outcomes[0].clone(), outcomes[5].clone(), outcomes[6].clone()]);
    for (outcome, named) in outcomes[1..5].iter().zip(["no number", "status 400", "nor this", "9999"]) {
        let Outcome::Rejected { reason } = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains(named), "{named} in {reason}");
    }
    let state = state(&*sink).await;
    assert_eq!(state.len(), 3);
    assert_eq!(state[&key(7).uuid].1, "{\n\"districtId\": 7\n}", "a line break is not poison");
}

#[tokio::test]
async fn every_difference_is_named_and_preparing_changes_nothing() {
    let url = OpenSearchNode::shared().await.url();
    let prefix = new_prefix();
    let (indexes, sink) = open(options(&url, &prefix)).await;
    assert_all_done(&sink.put(&[upsert(1, 5, "one")]).await);
    let other = OpenSearchOptions { replicas: 2, refresh_interval: Duration::from_secs(7), ..options(&url, &prefix) };
    let other = OpenSearchIndexes::new(other).expect("the options are right");
    let Err(SinkError::Incompatible { differences, .. }) = other.live().await else {
        panic!("it is not as configured")
    };
    let text = differences.join("; ");
    for named in [
        "number_of_replicas 0, but 2 is configured",
        "refresh_interval 1000ms, but 7000ms is configured",
        "DELETE /_index_template/",
    ] {
        assert!(text.contains(named), "{named} in {text}");
    }
    assert_eq!(indexes.live().await.expect("as it was"), 1);

    let settings = json!({ "index.gc_deletes": "60s", "index.translog.durability": "async" });
    let (status, _) = ask(&url, Method::PUT, &format!("/{prefix}.g1.meadow.districts/_settings"), Some(settings)).await;
    assert_eq!(status, 200);
    let Err(SinkError::Incompatible { differences, .. }) = sink.prepare().await else { panic!("deletes are not kept") };
    assert_eq!(differences.len(), 2, "{differences:?}");
    assert!(differences.iter().all(|difference| difference.contains("g1.meadow.districts")), "{differences:?}");
}

/// The fields of the small schema without its extension.
fn model_before() -> Arc<SearchModel> {
    let core: Vec<_> = millstream_testkit::corpus::fixtures().schema_paths();
    let core = core.into_iter().filter(|path| path.ends_with("meadow.ApiSchema.json")).collect::<Vec<_>>();
    let schema = apischema::load(&core).unwrap_or_else(|errors| panic!("{errors}"));
    let model = millstream_schema::model::derive(&schema).unwrap_or_else(|errors| panic!("{errors}"));
    Arc::new(SearchModel::of(&plan::compile(&schema, &model)))
}

#[tokio::test]
async fn a_mapping_that_the_schema_changed_is_detected_and_rebuilt() {
    let url = OpenSearchNode::shared().await.url();
    let prefix = new_prefix();
    let before = OpenSearchOptions { model: model_before(), ..options(&url, &prefix) };
    let key = before.model.iter().find(|resource| resource.endpoint == "schools").expect("a resource").key;
    let (_, sink) = open(before).await;
    let mut school = upsert(1, 5, "one");
    school.key.resource_key = key;
    assert_all_done(&sink.put(std::slice::from_ref(&school)).await);

    let (indexes, sink) = open(options(&url, &prefix)).await;
    let current = |all: Vec<Generation>| all.iter().map(|one| one.mapping_current).collect::<Vec<_>>();
    assert_eq!(current(indexes.list().await.expect("a list")), [false]);
    school.key.resource_key = resource_key("schools");
    school.version = 6;
    assert_all_done(&sink.put(std::slice::from_ref(&school)).await);
    let number = indexes.create().await.unwrap_or_else(|error| panic!("{error}"));
    assert_all_done(&indexes.sink(number).expect("a sink").put(&[school]).await);
    let all = indexes.list().await.expect("a list");
    assert_ne!(all[0].schema_hash, all[1].schema_hash);
    assert_eq!(current(all), [false, true]);
}

#[tokio::test]
async fn a_late_delivery_to_a_removed_generation_creates_nothing() {
    let url = OpenSearchNode::shared().await.url();
    let prefix = new_prefix();
    let (indexes, live) = open(options(&url, &prefix)).await;
    let number = indexes.create().await.expect("a second generation");
    let late = indexes.sink(number).expect("a sink");
    assert_all_done(&late.put(&[upsert(1, 5, "one")]).await);
    indexes.remove(number).await.unwrap_or_else(|error| panic!("{error}"));
    let outcomes = late.put(&[upsert(1, 6, "late"), delete(2, 6)]).await;
    let unavailable = |outcome: &Outcome| matches!(outcome, Outcome::Retry { cause: RetryCause::Unavailable, .. });
    assert!(outcomes.iter().all(unavailable), "{outcomes:?}");
    assert!(matches!(late.prepare().await, Err(SinkError::Incompatible { .. })));
    assert_eq!(names(&url, &prefix).await, BTreeSet::from([".g1.descriptors".to_owned()]));
    assert!(state(&*live).await.is_empty());
    assert_eq!(indexes.create().await.expect("a third"), number + 1, "numbers are not reused");
}
