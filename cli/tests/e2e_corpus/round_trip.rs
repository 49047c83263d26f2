//! Documents are read as they were posted, both from the cache and composed from the tables.

use crate::exclusive;
use crate::support::comparison::{Tolerated, compare};
use crate::support::loaded;
use crate::support::loading::Accepted;
use crate::support::running::Running;
use crate::support::{http::Http, report, snapshot::Snapshot};
use futures::stream::{self, StreamExt};
use millstream_testkit::World;
use millstream_writer::WriterOptions;
use serde_json::Value;
use std::time::Instant;

/// Requests in flight.
const IN_FLIGHT: usize = 8;
/// Number of differences in a failure message.
const SHOWN: usize = 20;

/// Reads every document by id and compares it with the posted body.
async fn compare_with_posted(http: &Http, world: &World, accepted: &[Accepted]) -> Tolerated {
    let started = Instant::now();
    let reads = stream::iter(accepted).map(|one| async move { (one, http.get(&one.path()).await) });
    let mut reads = reads.buffer_unordered(IN_FLIGHT);
    let (mut tolerated, mut differences) = (Tolerated::default(), Vec::new());
    while let Some((one, reply)) = reads.next().await {
        assert_eq!((reply.status, reply.etag), (200, Some(one.etag)), "{}: {reply:?}", one.path());
        let read = reply.json();
        assert_eq!(read["id"], one.uuid.to_string(), "{}", one.path());
        assert_eq!(read["_etag"], one.etag.to_string(), "{}", one.path());
        let resource = world.mapping.route(&one.document.project, &one.document.resource).expect("a known endpoint");
        let schema = &world.mapping.resource(resource).json_schema;
        let posted: Value = serde_json::from_slice(one.document.body()).expect("JSON");
        let found = compare(schema, &posted, &read, &mut tolerated);
        differences.extend(found.into_iter().map(|text| format!("{}: {text}", one.path())));
    }
    report!("read {} documents by id in {:.1?}: {tolerated:?}", accepted.len(), started.elapsed());
    let count = differences.len();
    differences.truncate(SHOWN);
    assert!(count == 0, "{count} differences\n{}", differences.join("\n"));
    tolerated
}

async fn round_trip(name: &'static str, world: &'static World) -> Tolerated {
    let _exclusive = exclusive().await;
    let (database, accepted) = loaded::copy(name, world).await;
    assert!(accepted.iter().all(|one| one.status == 201), "every document is created");
    let running = Running::on(world, database.database().clone());
    let api = running.serve(WriterOptions::default()).await;

    let cached: i64 = running.value(r#"SELECT count(*) FROM "dms"."DocumentCache""#).await;
    assert_eq!(cached as usize, accepted.len(), "every document is cached");
    let tolerated = compare_with_posted(&api, world, &accepted).await;
    let from_cache = Snapshot::take(&api, running.mapping()).await;

    running.client().await.batch_execute(r#"TRUNCATE "dms"."DocumentCache""#).await.expect("the cache can be emptied");
    let composed = Snapshot::take(&api, running.mapping()).await;
    from_cache.assert_same(&composed, "read from the cache, and composed from the tables");
    assert_eq!(composed.len(), accepted.len());
    let cached: i64 = running.value(r#"SELECT count(*) FROM "dms"."DocumentCache""#).await;
    assert_eq!(cached, 0, "the cache stayed empty, so the second snapshot was composed");
    api.stop().await;
    tolerated
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fixture_document_is_read_as_it_was_posted() {
    round_trip("fixtures-loaded", World::fixtures()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_corpus_document_is_read_as_it_was_posted() {
    let Some(world) = World::corpus_or_skip() else { return };
    let tolerated = round_trip("corpus-loaded", world).await;
    // Documents whose descriptor URIs differ in case from the descriptors.
    assert_eq!(tolerated.descriptor_case, 503, "{tolerated:?}");
}
