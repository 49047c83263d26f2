//! Searches: the suite of all engines.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use millstream_connectors::opensearch::OpenSearchOptions;
use millstream_projector::sink::{Content, Delivery, DocumentKey, Sink};
use millstream_search::SearchEngine;
use millstream_search::conformance::{Document, Fixture, model, run};
use millstream_testkit::OpenSearchNode;

use crate::support::{assert_all_done, new_prefix, open, options};

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
