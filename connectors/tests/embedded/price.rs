//! The cost of the embedded index on the real corpus: `cargo test --release --test embedded price -- --ignored
//! --nocapture`

use crate::support::folder;
use bytes::Bytes;
use futures::future::join_all;
use millstream_connectors::sink::embedded::{EmbeddedOptions, EmbeddedStore};
use millstream_pipeline::sink::generations::Generations;
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Outcome, Sink};
use millstream_search::conformance::{Document, MemoryEngine};
use millstream_search::{QueryOptions, SearchEngine, SearchModel, SearchPage, SearchQuery};
use millstream_store::compose::envelope;
use millstream_testkit::World;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

const BATCH: usize = 1_000;
const IN_FLIGHT: usize = 4;
const REPEATS: usize = 200;
/// Version offset of the documents that are delivered alone.
const NEWER: i64 = 1_000_000;

/// Endpoint and parameters.
const QUERIES: [(&str, &[(&str, &str)]); 8] = [
    ("students", &[("q", "maria")]),
    ("students", &[("lastSurname", "Smith"), ("sort", "-birthDate,firstName")]),
    ("students", &[("sort", "lastSurname,firstName"), ("totalCount", "true")]),
    ("studentSchoolAssociations", &[("schoolId:gt", "0"), ("entryDate:gte", "2021-01-01"), ("sort", "-entryDate")]),
    ("studentSchoolAssociations", &[("facet", "entryGradeLevelDescriptor,schoolReference.schoolId"), ("limit", "0")]),
    ("schools", &[("addresses.city:gte", "A"), ("addresses.addressTypeDescriptor", "physical")]),
    ("staffs", &[("q", "john"), ("totalCount", "true")]),
    (
        "studentEducationOrganizationAssociations",
        &[("addresses.city:gte", "A"), ("addresses.addressTypeDescriptor", "home")],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
#[allow(clippy::print_stderr, reason = "a measurement prints its figures")]
async fn what_it_costs() {
    let Some(world) = World::corpus_or_skip() else { return };
    let deliveries = corpus(world);
    let folder = folder();
    let model = Arc::new(SearchModel::of(&world.mapping));
    let store =
        EmbeddedStore::open(&EmbeddedOptions::new(folder.path().join("index")), Arc::clone(&model)).expect("it opens");
    let sink = store.sink(store.live().await.expect("a live generation")).expect("a sink");
    let begun = Instant::now();
    for some in deliveries.chunks(IN_FLIGHT * BATCH) {
        for outcomes in join_all(some.chunks(BATCH).map(|batch| sink.put(batch))).await {
            assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
        }
    }
    let rate = deliveries.len() as f64 / begun.elapsed().as_secs_f64();
    let listed = &store.list().await.expect("listed")[0];
    eprintln!("{} documents, {rate:.0} documents/s, {} MB on disk", listed.documents, listed.bytes >> 20);
    alone(&*sink, &deliveries).await;
    let reference = MemoryEngine::new(Arc::clone(&model));
    reference.put(&deliveries.iter().enumerate().map(held).collect::<Vec<_>>());
    for (endpoint, parameters) in QUERIES {
        ask(&store, &reference, &model, endpoint, parameters).await;
    }
}

fn corpus(world: &World) -> Vec<Delivery> {
    let at = "2031-01-01T00:00:00Z".parse().expect("a timestamp");
    let documents = world.corpus.documents().expect("it opens").chain(world.corpus.volume().expect("it opens"));
    let deliveries = (1_i64..).zip(documents).map(|(version, document)| {
        let document = document.expect("a document a line");
        let ix = world.mapping.route(&document.project, &document.resource).expect("a resource of the schema");
        let uuid = Uuid::from_u128(u128::from(version.unsigned_abs()) << 64);
        let key = DocumentKey { uuid, resource_key: world.mapping.resource(ix).key };
        let body = Bytes::from(envelope(document.body(), uuid, version, at));
        Delivery { key, version, content: Content::Document(body), repair: false }
    });
    deliveries.collect()
}

/// Converts a delivery for the reference engine. [`alone`] delivers the first ones again with newer versions.
fn held((at, delivery): (usize, &Delivery)) -> Document {
    let Content::Document(body) = &delivery.content else { unreachable!("the corpus has no deletes") };
    let version = delivery.version + if at < REPEATS { NEWER } else { 0 };
    Document { uuid: delivery.key.uuid, resource_key: delivery.key.resource_key, version, body: Some(body.clone()) }
}

/// Delivers one document at a time.
#[allow(clippy::print_stderr, reason = "a measurement prints its figures")]
async fn alone(sink: &dyn Sink, deliveries: &[Delivery]) {
    let mut times = Vec::new();
    for delivery in deliveries.iter().take(REPEATS) {
        let newer = Delivery { version: delivery.version + NEWER, ..delivery.clone() };
        let begun = Instant::now();
        assert_eq!(sink.put(&[newer]).await, [Outcome::Done]);
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    eprintln!("one document alone, done and found: {}", percentiles(times));
}

#[allow(clippy::print_stderr, reason = "a measurement prints its figures")]
async fn ask(
    store: &EmbeddedStore,
    reference: &MemoryEngine,
    model: &SearchModel,
    endpoint: &str,
    parameters: &[(&str, &str)],
) {
    let resource = model.iter().find(|resource| resource.endpoint == endpoint).expect("a resource of the schema");
    let pairs: Vec<(String, String)> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let options = QueryOptions { limit_default: 25, limit_max: 500 };
    let query = SearchQuery::parse(resource, &pairs, &options).unwrap_or_else(|errors| panic!("{errors:?}"));
    let (mut times, mut page) = (Vec::new(), SearchPage::default());
    for _ in 0..REPEATS {
        let begun = Instant::now();
        page = store.search(&query).await.expect("a page");
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let found = page.documents.len();
    let expected = reference.answer(&query);
    assert_eq!((page.total, &page.facets, found), (expected.total, &expected.facets, expected.documents.len()));
    if !query.is_by_relevance() {
        assert_eq!(page, expected, "{endpoint} {parameters:?}");
    }
    eprintln!("{endpoint} {parameters:?}: {found} documents, {}", percentiles(times));
}

fn percentiles(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("p50 {:.2} ms, p99 {:.2} ms", at(0.5), at(0.99))
}
