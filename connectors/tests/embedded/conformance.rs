//! The suite of all sinks, and that of all search engines.

use crate::support::{folder, key, live, open};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use millstream_connectors::sink::embedded::EmbeddedStore;
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Outcome, Sink, conformance as sinks};
use millstream_search::SearchEngine;
use millstream_search::conformance as engines;
use std::sync::Arc;
use tempfile::TempDir;

struct Folder {
    folder: TempDir,
    store: Option<EmbeddedStore>,
}

impl Folder {
    fn new() -> Self {
        Self { folder: folder(), store: None }
    }
}

impl sinks::SinkFixture for Folder {
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn Sink>> {
        self.store = None;
        self.folder = folder();
        self.reopen()
    }

    fn reopen(&mut self) -> BoxFuture<'_, Arc<dyn Sink>> {
        // Dropping the store releases the lock, as the end of a process does.
        self.store = None;
        let store = open(&self.folder);
        self.store = Some(store.clone());
        async move { live(&store).await }.boxed()
    }

    fn resource_keys(&self) -> [i16; 2] {
        [key("students"), key("schools")]
    }

    fn document(&self, key: DocumentKey, version: i64, text: &str) -> Bytes {
        Bytes::from(format!(
            r#"{{"id":"{}","_etag":"{version}","_lastModifiedDate":"2031-01-01T00:00:00Z","firstName":"{text}"}}"#,
            key.uuid
        ))
    }
}

impl engines::Fixture for Folder {
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn SearchEngine>> {
        self.store = None;
        self.folder = folder();
        let store = open(&self.folder);
        self.store = Some(store.clone());
        async move { Arc::new(store) as Arc<dyn SearchEngine> }.boxed()
    }

    fn put<'a>(&'a mut self, documents: &'a [engines::Document]) -> BoxFuture<'a, ()> {
        let store = self.store.clone().expect("opened before");
        async move {
            let sink = live(&store).await;
            let deliveries = documents.iter().map(|document| Delivery {
                key: DocumentKey { uuid: document.uuid, resource_key: document.resource_key },
                version: document.version,
                content: document.body.clone().map_or(Content::Deleted, Content::Document),
                repair: false,
            });
            let outcomes = sink.put(&deliveries.collect::<Vec<_>>()).await;
            assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
        }
        .boxed()
    }
}

#[tokio::test]
async fn it_passes_the_suite_of_all_sinks() {
    sinks::run(&mut Folder::new()).await;
}

#[tokio::test]
async fn it_passes_the_suite_of_all_search_engines() {
    engines::run(&mut Folder::new()).await;
}
