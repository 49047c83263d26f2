//! Stores in temporary folders.

use millstream_connectors::sink::embedded::{EmbeddedOptions, EmbeddedStore};
use millstream_pipeline::sink::Sink;
use millstream_pipeline::sink::generations::Generations;
use millstream_search::SearchModel;
use millstream_search::conformance::model;
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;

/// The fields of the small schema.
pub(crate) static MODEL: LazyLock<Arc<SearchModel>> = LazyLock::new(model);

/// Returns the key of a resource of the small schema.
pub(crate) fn key(endpoint: &str) -> i16 {
    MODEL.iter().find(|resource| resource.endpoint == endpoint).expect("a resource of the small schema").key
}

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

pub(crate) fn open(folder: &TempDir) -> EmbeddedStore {
    let mut options = EmbeddedOptions::new(folder.path().join("index"));
    options.writer_heap_bytes = 20_000_000;
    EmbeddedStore::open(&options, Arc::clone(&MODEL)).expect("it opens")
}

/// Prepares and returns the sink of the live generation.
pub(crate) async fn live(store: &EmbeddedStore) -> Arc<dyn Sink> {
    let number = store.live().await.expect("a live generation");
    let sink = store.sink(number).expect("a sink");
    sink.prepare().await.expect("prepared");
    sink
}
