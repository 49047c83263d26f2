//! The cost of per-delivery outcomes: the sink compared with a plain client of the same bytes.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use millstream_connectors::sink::opensearch::OpenSearchOptions;
use millstream_pipeline::sink::generations::Generations;
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Sink};
use millstream_search::{SearchEngine, SearchModel, SearchQuery};
use millstream_testkit::{OpenSearchNode, World};
use uuid::Uuid;

use crate::support::{assert_all_done, new_prefix, open, options};

const RUNS: i64 = 3;
const DOCUMENTS_MAX: usize = 20_000;
const SEARCHES: usize = 200;

/// Returns the documents of a corpus for delivery, in the order of its files.
fn documents(world: &World, model: &SearchModel) -> Vec<(DocumentKey, String)> {
    let documents = world.corpus.documents().expect("the corpus can be read");
    let deliverable = documents.filter_map(|document| {
        let document = document.expect("a document");
        let resource = model
            .iter()
            .find(|resource| resource.project_endpoint == document.project && resource.endpoint == document.resource)?;
        let body = String::from_utf8(document.body().to_vec()).expect("text").replace('\n', " ");
        Some((DocumentKey { uuid: Uuid::new_v4(), resource_key: resource.key }, body))
    });
    deliverable.take(DOCUMENTS_MAX).collect()
}

fn deliveries(documents: &[(DocumentKey, String)], version: i64) -> Vec<Delivery> {
    let delivery = |(key, body): &(DocumentKey, String)| {
        let members = body.trim_start().trim_start_matches('{');
        let json = format!(
            r#"{{"id":"{}","_etag":"{version}","_lastModifiedDate":"2031-08-20T09:15:00Z",{members}"#,
            key.uuid
        );
        Delivery { key: *key, version, content: Content::Document(json.into()), repair: false }
    };
    documents.iter().map(delivery).collect()
}

/// Splits deliveries into batches like a delivery worker.
fn batches(deliveries: &[Delivery], sink: &dyn Sink) -> Vec<Vec<Delivery>> {
    let limits = sink.limits();
    let mut batches: Vec<Vec<Delivery>> = vec![Vec::new()];
    let mut bytes = 0;
    for delivery in deliveries {
        let last = batches.last_mut().expect("there is one");
        if last.len() == limits.batch_documents_max || bytes + delivery.bytes() > limits.batch_bytes_max {
            bytes = 0;
            batches.push(Vec::new());
        }
        bytes += delivery.bytes();
        batches.last_mut().expect("there is one").push(delivery.clone());
    }
    batches
}

/// Measures documents per second through the sink.
async fn through_the_sink(sink: &Arc<dyn Sink>, batches: &[Vec<Delivery>]) -> f64 {
    let started = Instant::now();
    let puts = batches.iter().map(|batch| async { assert_all_done(&sink.put(batch).await) });
    stream::iter(puts).buffer_unordered(sink.limits().in_flight_max).collect::<Vec<()>>().await;
    batches.iter().map(Vec::len).sum::<usize>() as f64 / started.elapsed().as_secs_f64()
}

/// Encodes the same batches for another generation.
fn ready(batches: &[Vec<Delivery>], model: &SearchModel, prefix: &str, generation: u32) -> Vec<(usize, Bytes)> {
    let line = |delivery: &Delivery| {
        let resource = model.by_key(delivery.key.resource_key).expect("a resource");
        let name = format!("{}.{}", resource.project_endpoint, resource.endpoint.to_lowercase());
        let stem = if resource.is_descriptor { "descriptors" } else { &name };
        let (id, version) = (delivery.key.uuid, delivery.version);
        let Content::Document(json) = &delivery.content else { panic!("a document") };
        let json = String::from_utf8_lossy(json);
        let (project, endpoint) = (&resource.project_endpoint, &resource.endpoint);
        format!(
            "{{\"index\":{{\"_index\":\"{prefix}.write.g{generation}.{stem}\",\"_id\":\"{id}\",\"version\":{version},\"version_type\":\"external\"}}}}\n{{\"id\":\"{id}\",\"resource\":\"{project}/{endpoint}\",\"document\":{json}}}\n"
        )
    };
    batches.iter().map(|batch| (batch.len(), batch.iter().map(line).collect::<String>().into())).collect()
}

async fn bare(url: &str, ready: &[(usize, Bytes)], in_flight: usize) -> f64 {
    let client = millstream_testkit::http_client().build().expect("an HTTP client");
    let started = Instant::now();
    let posts = ready.iter().map(|(_, lines)| async {
        let request = client.post(format!("{url}/_bulk")).header("content-type", "application/x-ndjson");
        let response = request.body(lines.clone()).send().await.expect("a response").text().await.expect("all of it");
        assert!(response.contains("\"errors\":false"), "{}", &response[..response.len().min(2_000)]);
    });
    stream::iter(posts).buffer_unordered(in_flight).collect::<Vec<()>>().await;
    ready.iter().map(|(count, _)| count).sum::<usize>() as f64 / started.elapsed().as_secs_f64()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Measures searches for all documents of a resource: the median and the 99th percentile in milliseconds.
async fn search(engine: &dyn SearchEngine, model: &SearchModel) -> (f64, f64) {
    let mut figures = Vec::new();
    let resources: Vec<_> = model.iter().collect();
    for resource in resources.into_iter().cycle().take(SEARCHES) {
        let started = Instant::now();
        engine.search(&SearchQuery::all(Arc::clone(resource), 25)).await.unwrap_or_else(|error| panic!("{error}"));
        figures.push(started.elapsed().as_secs_f64() * 1e3);
    }
    figures.sort_by(f64::total_cmp);
    (figures[figures.len() / 2], figures[figures.len() * 99 / 100])
}

/// `cargo test --release --test opensearch price -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn price_of_the_account() {
    let world = World::corpus().unwrap_or_else(|| World::fixtures());
    let model = Arc::new(SearchModel::of(&world.mapping));
    let node = OpenSearchNode::start().await;
    let prefix = new_prefix();
    let (indexes, sink) = open(OpenSearchOptions { model: Arc::clone(&model), ..options(&node.url(), &prefix) }).await;
    let other = indexes.create().await.unwrap_or_else(|error| panic!("{error}"));
    let documents = documents(world, &model);
    // Creates the indexes of both generations, and warms up the node.
    for sink in [Arc::clone(&sink), indexes.sink(other).expect("a sink")] {
        for batch in batches(&deliveries(&documents, 1), &*sink) {
            assert_all_done(&sink.put(&batch).await);
        }
    }
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let batches = batches(&deliveries(&documents, run + 2), &*sink);
        let ready = ready(&batches, &model, &prefix, other);
        let limit = bare(&node.url(), &ready, sink.limits().in_flight_max).await;
        let figure = through_the_sink(&sink, &batches).await;
        println!("run {run}: sink {figure:.0}/s, bare {limit:.0}/s");
        with.push(figure);
        without.push(limit);
    }
    let (sink, limit) = (median(with), median(without));
    println!(
        "median of {RUNS}, {} documents: sink {sink:.0}/s, bare {limit:.0}/s: {:.2}",
        documents.len(),
        sink / limit
    );
    let (p50, p99) = search(&indexes, &model).await;
    println!("{SEARCHES} searches: p50 {p50:.1} ms, p99 {p99:.1} ms");
}
