//! Faults of the folder and their messages.

use crate::support::{MODEL, folder, key, live, open};
use millstream_connectors::sink::embedded::{EmbeddedOptions, EmbeddedStore};
use millstream_pipeline::binding::Binding;
use millstream_pipeline::sink::generations::Generations;
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Outcome, SinkError};
use std::fs;
use std::sync::Arc;
use tempfile::TempDir;
use uuid::Uuid;

fn upsert(number: u128, version: i64) -> Delivery {
    let uuid = Uuid::from_u128(number);
    Delivery {
        key: DocumentKey { uuid, resource_key: key("schools") },
        version,
        content: Content::Document(format!(r#"{{"id":"{uuid}","_etag":"{version}","schoolId":{number}}}"#).into()),
        repair: false,
    }
}

fn reopened(folder: &TempDir) -> Result<EmbeddedStore, SinkError> {
    EmbeddedStore::open(&EmbeddedOptions::new(folder.path().join("index")), Arc::clone(&MODEL))
}

async fn with_one_document() -> TempDir {
    let folder = folder();
    let store = open(&folder);
    assert_eq!(live(&store).await.put(&[upsert(1, 5)]).await, [Outcome::Done]);
    folder
}

/// Returns the error of preparing the live generation.
async fn difference(folder: &TempDir) -> String {
    let store = reopened(folder).expect("the store itself opens");
    let sink = store.sink(1).expect("a sink");
    let error = sink.prepare().await.expect_err("incompatible");
    assert!(matches!(error, SinkError::Incompatible { .. }), "{error}");
    error.to_string()
}

#[tokio::test]
async fn one_process_at_a_time() {
    let folder = folder();
    let first = open(&folder);
    let error = reopened(&folder).err().expect("it is open already").to_string();
    assert!(error.contains("another process has it open"), "{error}");
    drop(first);
    reopened(&folder).expect("it is free again");
}

#[tokio::test]
async fn a_folder_of_another_form_is_named() {
    let folder = with_one_document().await;
    let manifest = folder.path().join("index/1/millstream.json");
    let text = fs::read_to_string(&manifest).expect("it can be read");
    fs::write(&manifest, text.replace("\"form\":1", "\"form\":99")).expect("written");
    let error = difference(&folder).await;
    assert!(error.contains("format 99") && error.contains("millstream index build"), "{error}");
    // The remedy works: another generation is built beside it and swapped in, and it is removed.
    let store = reopened(&folder).expect("the store itself opens");
    let second = store.create().await.expect("made");
    store.swap(second).await.expect("swapped");
    let listed: Vec<_> = store.list().await.expect("listed").iter().map(|one| (one.number, one.live)).collect();
    assert_eq!(listed, [(1, false), (2, true)]);
    store.remove(1).await.expect("removed");
    assert_eq!(store.list().await.expect("listed").len(), 1);
}

#[tokio::test]
async fn damage_is_named_with_what_to_do() {
    for (file, content) in [("meta.json", "{\"segm"), ("millstream.json", "x")] {
        let folder = with_one_document().await;
        fs::write(folder.path().join("index/1").join(file), content).expect("written");
        // Either opening the store or preparing the generation reads the damaged file.
        let error = match reopened(&folder) {
            Ok(store) => {
                drop(store);
                difference(&folder).await
            }
            Err(error) => error.to_string(),
        };
        assert!(error.contains("damaged") && error.contains("millstream index build"), "{file}: {error}");
    }
}

#[tokio::test]
async fn a_missing_segment_is_damage() {
    let folder = with_one_document().await;
    let files = fs::read_dir(folder.path().join("index/1")).expect("it can be read");
    let store_file = files
        .map(|file| file.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|extension| extension == "store"))
        .expect("a segment has a store");
    fs::remove_file(store_file).expect("removed");
    let error = difference(&folder).await;
    assert!(error.contains("damaged") && error.contains("millstream index build"), "{error}");
}

#[tokio::test]
async fn an_incomplete_generation_is_removed() {
    let folder = with_one_document().await;
    let half = folder.path().join("index/2");
    fs::create_dir(&half).expect("made");
    fs::write(half.join("meta.json"), "{}").expect("written");
    let store = reopened(&folder).expect("it opens");
    assert!(!half.exists());
    assert_eq!(store.list().await.expect("listed").len(), 1);
}

#[tokio::test]
async fn a_document_that_cannot_be_indexed_is_refused_alone() {
    let folder = folder();
    let store = open(&folder);
    let sink = live(&store).await;
    let not_json = Delivery { content: Content::Document("{".into()), ..upsert(1, 5) };
    let mut unknown = upsert(2, 5);
    unknown.key.resource_key = 30_000;
    let outcomes = sink.put(&[not_json, unknown, upsert(3, 5)]).await;
    let is_rejected = |outcome: &Outcome| matches!(outcome, Outcome::Rejected { .. });
    assert!(is_rejected(&outcomes[0]) && is_rejected(&outcomes[1]), "{outcomes:?}");
    assert_eq!(outcomes[2], Outcome::Done);
}

#[tokio::test]
async fn the_folder_of_another_database_is_refused() {
    // The state of an earlier version, which did not record the database.
    let folder = with_one_document().await;
    let of = |database| {
        let binding = Some(Binding::postgresql(Uuid::from_u128(database)));
        let options = EmbeddedOptions { binding, ..EmbeddedOptions::new(folder.path().join("index")) };
        EmbeddedStore::open(&options, Arc::clone(&MODEL))
    };
    let store = of(1).expect("it is adopted");
    assert_eq!(live(&store).await.put(&[upsert(2, 6)]).await, [Outcome::Done]);
    drop(store);
    let error = of(2).err().expect("it belongs to another database").to_string();
    assert!(error.contains("another database") && error.contains("embedded.dir"), "{error}");
    let store = of(1).expect("it is as it was");
    assert_eq!(store.create().await.expect("made"), 2);
    assert_eq!(store.list().await.expect("listed")[0].documents, 2);
}
