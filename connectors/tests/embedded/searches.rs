//! BOUNDED: the work and the memory of searches.

use crate::support::{MODEL, folder, key, live, open};
use futures::FutureExt;
use millstream_connectors::sink::embedded::EmbeddedStore;
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Outcome};
use millstream_search::{QueryOptions, SearchEngine, SearchError, SearchQuery};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::timeout;
use uuid::Uuid;

fn schools(parameters: &[(&str, &str)]) -> SearchQuery {
    let resource = MODEL.by_key(key("schools")).expect("a resource of the small schema");
    let parameters: Vec<(String, String)> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let options = QueryOptions { limit_default: 10, limit_max: 10 };
    SearchQuery::parse(resource, &parameters, &options).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// Adds schools whose names differ.
async fn fill(store: &EmbeddedStore, count: u128) {
    let sink = live(store).await;
    let deliveries: Vec<Delivery> = (0..count)
        .map(|number| {
            let body = format!(r#"{{"schoolId":{number},"nameOfInstitution":"School {number}"}}"#);
            let key = DocumentKey { uuid: Uuid::from_u128(number), resource_key: key("schools") };
            Delivery { key, version: 1, content: Content::Document(body.into()), repair: false }
        })
        .collect();
    for part in deliveries.chunks(1_000) {
        assert!(sink.put(part).await.iter().all(|outcome| *outcome == Outcome::Done));
    }
}

#[test]
fn abandoned_searches_leave_a_bounded_number_of_tasks() {
    let runtime = Builder::new_multi_thread().worker_threads(1).max_blocking_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let folder = folder();
        let store = open(&folder);
        fill(&store, 10).await;
        // The only blocking thread is busy: searches that were handed to it stay in its queue, each with its query.
        let (release, gate) = mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || gate.recv());
        let query = schools(&[("nameOfInstitution", "School 5")]);
        let before = Arc::strong_count(&query.resource);
        for _ in 0..1_000 {
            assert!(store.search(&query).now_or_never().is_none(), "it waits");
        }
        // Other tests hold some, too.
        let left = Arc::strong_count(&query.resource).saturating_sub(before);
        assert!(left < 300, "{left} abandoned searches are queued");
        release.send(()).expect("it waits");
        busy.await.expect("no panic").expect("released");
        let page =
            timeout(Duration::from_secs(10), store.search(&query)).await.expect("searches go on").expect("a page");
        assert_eq!(page.documents.len(), 1);
    });
}

#[tokio::test]
async fn a_facet_with_too_many_values_is_refused() {
    let folder = folder();
    let store = open(&folder);
    fill(&store, 10_001).await;
    let refused = store.search(&schools(&[("facet", "nameOfInstitution"), ("limit", "0")])).await;
    let Err(SearchError::Refused { reason }) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("'nameOfInstitution'") && reason.contains("10000"), "{reason}");
    let fewer =
        schools(&[("facet", "nameOfInstitution"), ("limit", "0"), ("schoolId:lt", "10000"), ("totalCount", "true")]);
    let page = store.search(&fewer).await.expect("a page");
    assert_eq!((page.total, page.facets[0].values.len()), (Some(10_000), 10));
}
