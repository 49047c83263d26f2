//! Generations: built beside the live one, swapped, swapped back, removed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use millstream_connectors::sink::opensearch::OpenSearchIndexes;
use millstream_pipeline::sink::generations::{Generation, Generations};
use millstream_pipeline::sink::{Delivery, SinkError};
use millstream_search::{SearchEngine, SearchQuery};
use millstream_testkit::{OpenSearchNode, wait_until};
use reqwest::Method;
use uuid::Uuid;

use crate::support::{ask, assert_all_done, model, new_prefix, open, options, resource_key, state, upsert};

const WITHIN: Duration = Duration::from_secs(60);

fn numbers(all: &[Generation]) -> Vec<(u32, bool)> {
    all.iter().map(|generation| (generation.number, generation.live)).collect()
}

#[tokio::test]
async fn a_generation_is_built_swapped_in_and_rolled_back() {
    let url = OpenSearchNode::shared().await.url();
    let (indexes, first) = open(options(&url, &new_prefix())).await;
    assert_all_done(&first.put(&[upsert(1, 5, "one"), upsert(2, 5, "two")]).await);
    let number = indexes.create().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(number, 2);
    let second = indexes.sink(2).expect("a sink");
    second.prepare().await.unwrap_or_else(|error| panic!("{error}"));
    assert!(state(&*second).await.is_empty());
    assert_all_done(&second.put(&[upsert(1, 6, "one"), upsert(2, 5, "two"), upsert(3, 7, "three")]).await);
    assert_eq!(state(&*first).await.len(), 2, "each generation has its own documents");
    assert_eq!(state(&*second).await.len(), 3);

    indexes.swap(2).await.unwrap_or_else(|error| panic!("{error}"));
    let all = indexes.list().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(numbers(&all), [(1, false), (2, true)]);
    assert!(all.iter().all(|generation| generation.mapping_current && generation.bytes > 0), "{all:?}");
    assert_eq!(all.iter().map(|generation| generation.documents).collect::<Vec<_>>(), [2, 3]);
    let Err(SinkError::Incompatible { differences, .. }) = indexes.remove(2).await else { panic!("it is live") };
    assert!(differences[0].contains("is live"), "{differences:?}");

    indexes.swap(1).await.unwrap_or_else(|error| panic!("{error}"));
    indexes.swap(1).await.expect("again is harmless");
    assert_eq!(indexes.live().await.expect("a live one"), 1);
    indexes.remove(2).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(numbers(&indexes.list().await.expect("a list")), [(1, true)]);
    for absent in [2, 7] {
        assert!(matches!(indexes.swap(absent).await, Err(SinkError::Incompatible { .. })), "{absent}");
        assert!(matches!(indexes.remove(absent).await, Err(SinkError::Incompatible { .. })), "{absent}");
    }
    assert!(indexes.sink(0).is_err());
}

#[tokio::test]
async fn many_processes_that_begin_at_once_make_one_generation() {
    let url = OpenSearchNode::shared().await.url();
    let prefix = new_prefix();
    let all: Vec<OpenSearchIndexes> =
        (0..4).map(|_| OpenSearchIndexes::new(options(&url, &prefix)).expect("the options are right")).collect();
    let live = futures::future::join_all(all.iter().map(Generations::live)).await;
    let first = *live[0].as_ref().unwrap_or_else(|error| panic!("{error}"));
    for live in live {
        assert_eq!(live.unwrap_or_else(|error| panic!("{error}")), first);
    }
    let made = futures::future::join_all(all.iter().map(Generations::create)).await;
    let mut made: Vec<u32> = made.into_iter().map(|made| made.unwrap_or_else(|error| panic!("{error}"))).collect();
    made.sort_unstable();
    made.dedup();
    assert_eq!(made.len(), 4, "each created its own");
}

/// Two concurrent processes have each created the first generation. The next call keeps one of them.
#[tokio::test]
async fn of_two_live_generations_the_first_stays() {
    let url = OpenSearchNode::shared().await.url();
    let prefix = new_prefix();
    let (indexes, first) = open(options(&url, &prefix)).await;
    assert_all_done(&first.put(&[upsert(1, 5, "one")]).await);
    let second = indexes.create().await.unwrap_or_else(|error| panic!("{error}"));
    let path = format!("/{prefix}.g{second}.descriptors/_alias/{prefix}.live");
    assert_eq!(ask(&url, Method::PUT, &path, None).await.0, 200);

    let all = indexes.list().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(numbers(&all), [(1, true), (second, true)], "both are listed");
    assert_eq!(indexes.live().await.unwrap_or_else(|error| panic!("{error}")), 1);
    let all = indexes.list().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(numbers(&all), [(1, true), (second, false)]);
    assert_eq!(state(&*first).await.len(), 1);

    // If both have documents, as after a restored snapshot, an operator has to choose.
    assert_all_done(&indexes.sink(second).expect("a sink").put(&[upsert(1, 6, "two")]).await);
    assert_eq!(ask(&url, Method::PUT, &path, None).await.0, 200);
    let Err(SinkError::Incompatible { differences, .. }) = indexes.live().await else { panic!("ambiguous") };
    assert!(differences[0].contains("several generations"), "{differences:?}");
    indexes.swap(1).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(indexes.live().await.unwrap_or_else(|error| panic!("{error}")), 1);
    indexes.remove(second).await.unwrap_or_else(|error| panic!("{error}"));
}

/// Returns the matches of a search as (id, version).
async fn found(engine: &dyn SearchEngine, endpoint: &str) -> BTreeSet<(Uuid, i64)> {
    let model = model();
    let resource = model.iter().find(|resource| resource.endpoint == endpoint).expect("a resource");
    let query = SearchQuery::all(Arc::clone(resource), 500);
    let page = engine.search(&query).await.unwrap_or_else(|error| panic!("{error}"));
    page.documents.into_iter().map(|hit| (hit.uuid, hit.version)).collect()
}

/// Both generations have all districts, and each has a resource that the other lacks. No page may mix them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_search_uses_one_generation() {
    const SWAPS: u32 = 12;
    const NEW: [&str; 5] = ["programs", "sessions", "sections", "classPeriods", "buses"];
    let url = OpenSearchNode::shared().await.url();
    let (indexes, first) = open(options(&url, &new_prefix())).await;
    let number = indexes.create().await.unwrap_or_else(|error| panic!("{error}"));
    let second = indexes.sink(number).expect("a sink");
    let of_type = |endpoint: &str, numbers: std::ops::Range<u128>, version: i64| -> Vec<Delivery> {
        let of = |number| {
            let mut delivery = upsert(number, version, "one");
            delivery.key.resource_key = resource_key(endpoint);
            delivery
        };
        numbers.map(of).collect()
    };
    // The version shows the generation of a document.
    assert_all_done(&first.put(&of_type("districts", 0..100, 1)).await);
    assert_all_done(&second.put(&of_type("districts", 0..100, 2)).await);
    assert_all_done(&first.put(&of_type("students", 200..210, 1)).await);
    let done = AtomicBool::new(false);
    let (searches, written) = (AtomicUsize::new(0), AtomicU32::new(0));
    let searching = async {
        let engine: &dyn SearchEngine = &indexes;
        engine.refresh().await.unwrap_or_else(|error| panic!("{error}"));
        while !done.load(Ordering::Relaxed) {
            let districts = found(engine, "districts").await;
            let versions: BTreeSet<i64> = districts.iter().map(|(_, version)| *version).collect();
            assert_eq!((districts.len(), versions.len()), (100, 1), "all of one generation: {versions:?}");
            let students = found(engine, "students").await;
            assert!(students.is_empty() || students.len() == 10, "all or none: {students:?}");
            for endpoint in NEW {
                // Its index may be created at this moment.
                assert!(found(engine, endpoint).await.len() <= 5, "{endpoint}");
            }
            searches.fetch_add(1, Ordering::Relaxed);
        }
    };
    let writing = async {
        // Creates new indexes in both generations, one after the other.
        for (endpoint, at) in NEW.into_iter().zip(0..) {
            for sink in [&first, &second] {
                assert_all_done(&sink.put(&of_type(endpoint, 300 + 10 * at..305 + 10 * at, 5)).await);
            }
            let so_far = searches.load(Ordering::Relaxed);
            wait_until("a search in between", WITHIN, || std::future::ready(searches.load(Ordering::Relaxed) > so_far))
                .await;
            written.fetch_add(1, Ordering::Relaxed);
        }
    };
    let swapping = async {
        for swap in 0..SWAPS {
            indexes.swap(if swap % 2 == 0 { number } else { 1 }).await.unwrap_or_else(|error| panic!("{error}"));
            let so_far = searches.load(Ordering::Relaxed);
            wait_until("searches to go on", WITHIN, || {
                std::future::ready(searches.load(Ordering::Relaxed) > so_far + 2)
            })
            .await;
        }
        wait_until("the writers to be done", WITHIN, || std::future::ready(written.load(Ordering::Relaxed) == 5)).await;
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(searching, writing, swapping);
    println!("{} searches during {SWAPS} swaps", searches.load(Ordering::Relaxed));
    indexes.swap(number).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(found(&indexes, "students").await.is_empty(), "there are none in this generation");
    assert_eq!(found(&indexes, "programs").await.len(), 5);
    indexes.remove(1).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(found(&indexes, "districts").await.len(), 100);
}
