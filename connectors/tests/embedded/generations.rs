//! Generations: built, swapped, rolled back and removed while searches run.

use crate::support::{MODEL, folder, key, live, open};
use millstream_connectors::sink::embedded::EmbeddedStore;
use millstream_pipeline::sink::generations::Generations;
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Outcome, Sink};
use millstream_search::{QueryOptions, SearchEngine, SearchQuery};
use millstream_testkit::wait_until;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// Documents of a generation.
const DOCUMENTS: u64 = 50;

async fn fill(sink: &Arc<dyn Sink>, version: i64, name: &str) {
    let deliveries = (0..DOCUMENTS).map(|number| {
        let uuid = Uuid::from_u128(u128::from(number));
        let body = format!(r#"{{"id":"{uuid}","_etag":"{version}","schoolId":{number},"nameOfInstitution":"{name}"}}"#);
        let key = DocumentKey { uuid, resource_key: key("schools") };
        Delivery { key, version, content: Content::Document(body.into()), repair: false }
    });
    let outcomes = sink.put(&deliveries.collect::<Vec<_>>()).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
}

fn schools(parameters: &[(&str, &str)]) -> SearchQuery {
    let resource = MODEL.by_key(key("schools")).expect("a resource of the small schema");
    let parameters: Vec<(String, String)> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let options = QueryOptions { limit_default: 1_000, limit_max: 1_000 };
    SearchQuery::parse(resource, &parameters, &options).unwrap_or_else(|errors| panic!("{errors:?}"))
}

async fn named(store: &EmbeddedStore, name: &str) -> usize {
    store.search(&schools(&[("nameOfInstitution", name)])).await.expect("a page").documents.len()
}

#[tokio::test]
async fn a_generation_is_built_beside_the_live_one_and_swapped_in() {
    let folder = folder();
    let store = open(&folder);
    fill(&live(&store).await, 5, "old").await;
    let second = store.create().await.expect("made");
    assert_eq!(second, 2);
    let beside = store.sink(second).expect("a sink");
    beside.prepare().await.expect("prepared");
    fill(&beside, 6, "new").await;
    assert_eq!((named(&store, "old").await, named(&store, "new").await), (50, 0));
    store.swap(second).await.expect("swapped");
    assert_eq!((named(&store, "old").await, named(&store, "new").await), (0, 50));
    drop((store, beside));
    // The live generation survives the process.
    let store = open(&folder);
    assert_eq!(store.live().await.expect("live"), 2);
    assert_eq!(named(&store, "new").await, 50);
    store.swap(1).await.expect("rolled back");
    assert_eq!(named(&store, "old").await, 50);
    let listed = store.list().await.expect("listed");
    let summary: Vec<_> = listed.iter().map(|one| (one.number, one.live, one.documents, one.mapping_current)).collect();
    assert_eq!(summary, [(1, true, DOCUMENTS, true), (2, false, DOCUMENTS, true)]);
    assert!(listed.iter().all(|one| one.bytes > 0 && one.created_at_ms > 0 && one.schema_hash == MODEL.schema_hash));
}

#[tokio::test]
async fn a_removed_generation_is_not_written_to_and_its_number_is_not_reused() {
    let folder = folder();
    let store = open(&folder);
    fill(&live(&store).await, 5, "old").await;
    store.remove(1).await.expect_err("it is live");
    let second = store.create().await.expect("made");
    let sink = store.sink(second).expect("a sink");
    fill(&sink, 5, "new").await;
    store.remove(second).await.expect("removed");
    store.remove(second).await.expect_err("it is gone");
    store.swap(second).await.expect_err("it is gone");
    sink.prepare().await.expect_err("it is gone");
    let uuid = Uuid::from_u128(1);
    let key = DocumentKey { uuid, resource_key: key("schools") };
    let late = Delivery { key, version: 9, content: Content::Deleted, repair: false };
    assert!(matches!(sink.put(&[late]).await[0], Outcome::Retry { .. }), "it is refused");
    drop((store, sink));
    let store = open(&folder);
    assert_eq!(store.list().await.expect("listed").len(), 1);
    assert_eq!(store.create().await.expect("made"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_see_one_generation_or_the_other_and_never_a_mixture() {
    let folder = folder();
    let store = open(&folder);
    fill(&live(&store).await, 5, "old").await;
    let second = store.create().await.expect("made");
    fill(&store.sink(second).expect("a sink"), 5, "new").await;
    let (searching, answers) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let reader = {
        let (store, searching, answers) = (store.clone(), Arc::clone(&searching), Arc::clone(&answers));
        tokio::spawn(async move {
            while searching.load(Ordering::Relaxed) {
                let page = store.search(&schools(&[("facet", "nameOfInstitution")])).await.expect("a page");
                let counts: Vec<u64> = page.facets[0].values.iter().map(|count| count.documents).collect();
                assert_eq!((page.documents.len() as u64, counts), (DOCUMENTS, vec![DOCUMENTS]));
                answers.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    for round in 0..20 {
        store.swap(1 + round % 2).await.expect("swapped");
        let seen = answers.load(Ordering::Relaxed);
        let has_answered = || std::future::ready(answers.load(Ordering::Relaxed) > seen);
        wait_until("another answer", Duration::from_secs(30), has_answered).await;
    }
    searching.store(false, Ordering::Relaxed);
    reader.await.expect("every page was complete");
}
