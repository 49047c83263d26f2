//! Searches: the suite of all engines, and the example of the docs page about the indexes.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use millstream_connectors::sink::opensearch::OpenSearchOptions;
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Sink};
use millstream_search::SearchEngine;
use millstream_search::conformance::{Document, Fixture, model, run};
use millstream_testkit::OpenSearchNode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ask, assert_all_done, new_prefix, open, options, resource_key, upsert};

struct Engines {
    node: &'static OpenSearchNode,
    sink: Option<Arc<dyn Sink>>,
}

impl Fixture for Engines {
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn SearchEngine>> {
        let options = OpenSearchOptions { model: model(), ..options(&self.node.url(), &new_prefix()) };
        async move {
            let (indexes, sink) = open(options).await;
            self.sink = Some(sink);
            Arc::new(indexes) as Arc<dyn SearchEngine>
        }
        .boxed()
    }

    fn put<'a>(&'a mut self, documents: &'a [Document]) -> BoxFuture<'a, ()> {
        let delivery = |document: &Document| Delivery {
            key: DocumentKey { uuid: document.uuid, resource_key: document.resource_key },
            version: document.version,
            content: document.body.clone().map_or(Content::Deleted, Content::Document),
            repair: false,
        };
        let deliveries: Vec<Delivery> = documents.iter().map(delivery).collect();
        async move {
            let sink = self.sink.as_ref().expect("it was opened");
            for batch in deliveries.chunks(sink.limits().batch_documents_max) {
                assert_all_done(&sink.put(batch).await);
            }
        }
        .boxed()
    }
}

#[tokio::test]
async fn the_search_indexes_pass_the_suite_of_all_engines() {
    let node = OpenSearchNode::shared().await;
    run(&mut Engines { node, sink: None }).await;
}

/// The page for clients that search OpenSearch directly.
const PAGE: &str = include_str!("../../../docs/reference/search-indexes.md");

#[tokio::test]
async fn the_search_on_the_page_about_the_indexes_finds_what_it_says() {
    let url = OpenSearchNode::shared().await.url();
    let prefix = new_prefix();
    let (indexes, sink) = open(options(&url, &prefix)).await;
    let school = |number, name: &str, addresses: &[(&str, &str)]| {
        let mut delivery = upsert(number, 5, name);
        delivery.key.resource_key = resource_key("schools");
        let addresses: Vec<Value> =
            addresses.iter().map(|(city, code)| json!({ "city": city, "postalCode": code })).collect();
        let body = json!({ "nameOfInstitution": name, "addresses": addresses });
        Delivery { content: Content::Document(body.to_string().into()), ..delivery }
    };
    let schools = [
        school(1, "Beech", &[("Grafton", "78123"), ("Milton", "1")]),
        school(2, "Alder", &[("Grafton", "78123")]),
        school(3, "Cedar", &[("Grafton", "1"), ("Milton", "78123")]),
    ];
    assert_all_done(&sink.put(&schools).await);
    indexes.refresh().await.unwrap_or_else(|error| panic!("{error}"));
    let (_, rest) = PAGE.split_once("```json").expect("a search");
    let (query, _) = rest.split_once("```").expect("its end");
    let query: Value = serde_json::from_str(query).expect("JSON");
    let (status, answer) =
        ask(&url, Method::POST, &format!("/{prefix}.read.meadow.schools/_search"), Some(query)).await;
    assert_eq!(status, 200, "{answer}");
    let hits = answer["hits"]["hits"].as_array().expect("hits").iter();
    let names: Vec<&Value> = hits.map(|hit| &hit["_source"]["document"]["nameOfInstitution"]).collect();
    assert_eq!(names, ["Alder", "Beech"]);
}
