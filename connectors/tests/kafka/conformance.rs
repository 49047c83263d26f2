//! The suite that every sink passes.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use millstream_pipeline::sink::conformance::{SinkFixture, run};
use millstream_pipeline::sink::{DocumentKey, Sink};
use millstream_testkit::KafkaBroker;

use crate::support::{new_topic_name, open, options};

struct Topics {
    broker: &'static KafkaBroker,
    topic: String,
}

impl SinkFixture for Topics {
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn Sink>> {
        self.topic = new_topic_name();
        self.reopen()
    }

    fn reopen(&mut self) -> BoxFuture<'_, Arc<dyn Sink>> {
        let options = options(&self.broker.bootstrap_servers(), &self.topic);
        async move { Arc::new(open(options).await) as Arc<dyn Sink> }.boxed()
    }

    fn resource_keys(&self) -> [i16; 2] {
        [1, 2]
    }

    fn document(&self, key: DocumentKey, version: i64, text: &str) -> Bytes {
        // The suite's texts are already escaped for a JSON string.
        let uuid = key.uuid;
        Bytes::from(format!(
            r#"{{"id":"{uuid}","_etag":"{version}","_lastModifiedDate":"2031-08-20T09:15:00Z","text":"{text}"}}"#
        ))
    }
}

#[tokio::test]
async fn the_documents_topic_passes_the_suite_of_all_sinks() {
    let broker = KafkaBroker::shared().await;
    run(&mut Topics { broker, topic: String::new() }).await;
}
