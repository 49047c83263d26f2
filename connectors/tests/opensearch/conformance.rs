//! The suite that every sink passes.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use millstream_pipeline::sink::conformance::{SinkFixture, run};
use millstream_pipeline::sink::{DocumentKey, Sink};
use millstream_testkit::OpenSearchNode;

use crate::support::{new_prefix, open, options, resource_key};

struct Indexes {
    node: &'static OpenSearchNode,
    prefix: String,
}

impl SinkFixture for Indexes {
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn Sink>> {
        self.prefix = new_prefix();
        self.reopen()
    }

    fn reopen(&mut self) -> BoxFuture<'_, Arc<dyn Sink>> {
        let options = options(&self.node.url(), &self.prefix);
        async move { open(options).await.1 }.boxed()
    }

    fn resource_keys(&self) -> [i16; 2] {
        [resource_key("districts"), resource_key("termDescriptors")]
    }

    fn document(&self, key: DocumentKey, version: i64, text: &str) -> Bytes {
        // The suite's texts are already escaped for a JSON string.
        let uuid = key.uuid;
        Bytes::from(format!(
            r#"{{"id":"{uuid}","nameOfInstitution":"{text}","amount":0.100000000000000000001,"_etag":"{version}","_lastModifiedDate":"2031-08-20T09:15:00Z"}}"#
        ))
    }
}

#[tokio::test]
async fn the_search_indexes_pass_the_suite_of_all_sinks() {
    let node = OpenSearchNode::shared().await;
    run(&mut Indexes { node, prefix: String::new() }).await;
}
