//! What is read is what was posted, from the cache and from the tables alike.

use crate::alone;
use crate::support::loaded;
use crate::support::loading::Accepted;
use crate::support::posted::{Forgiven, compare};
use crate::support::running::Running;
use crate::support::{http::Http, say, snapshot::Snapshot};
use futures::stream::{self, StreamExt};
use millstream_testkit::World;
use millstream_writer::WriterOptions;
use serde_json::Value;
use std::time::Instant;

/// Requests in flight.
const SIDE_BY_SIDE: usize = 8;
/// Differences that a failure shows.
const SHOWN: usize = 20;

/// GET of every document by its id, compared with what was posted.
async fn compare_with_posted(http: &Http, world: &World, accepted: &[Accepted]) -> Forgiven {
    let started = Instant::now();
    let reads = stream::iter(accepted).map(|one| async move { (one, http.get(&one.path()).await) });
    let mut reads = reads.buffer_unordered(SIDE_BY_SIDE);
    let (mut forgiven, mut differences) = (Forgiven::default(), Vec::new());
    while let Some((one, reply)) = reads.next().await {
        assert_eq!((reply.status, reply.etag), (200, Some(one.etag)), "{}: {reply:?}", one.path());
        let read = reply.json();
        assert_eq!(read["id"], one.uuid.to_string(), "{}", one.path());
        assert_eq!(read["_etag"], one.etag.to_string(), "{}", one.path());
        let resource = world.mapping.route(&one.document.project, &one.document.resource).expect("a known endpoint");
        let schema = &world.mapping.resource(resource).json_schema;
        let posted: Value = serde_json::from_slice(one.document.body()).expect("JSON");
        let found = compare(schema, &posted, &read, &mut forgiven);
        differences.extend(found.into_iter().map(|text| format!("{}: {text}", one.path())));
    }
    say!("read {} documents by id in {:.1?}: {forgiven:?}", accepted.len(), started.elapsed());
    let count = differences.len();
    differences.truncate(SHOWN);
    assert!(count == 0, "{count} differences\n{}", differences.join("\n"));
    forgiven
}

async fn round_trip(name: &'static str, world: &'static World) -> Forgiven {
    let _alone = alone().await;
    let (database, accepted) = loaded::copy(name, world).await;
    assert!(accepted.iter().all(|one| one.status == 201), "every document of the files is a new one");
    let running = Running::on(world, database.database().clone());
    let door = running.door(WriterOptions::default()).await;

    let cached: i64 = running.value(r#"SELECT count(*) FROM "dms"."DocumentCache""#).await;
    assert_eq!(cached as usize, accepted.len(), "everything is cached");
    let forgiven = compare_with_posted(&door, world, &accepted).await;
    let from_cache = Snapshot::take(&door, running.mapping()).await;

    running.client().await.batch_execute(r#"TRUNCATE "dms"."DocumentCache""#).await.expect("the cache can be emptied");
    let composed = Snapshot::take(&door, running.mapping()).await;
    from_cache.assert_same(&composed, "read from the cache, and composed from the tables");
    assert_eq!(composed.len(), accepted.len());
    let cached: i64 = running.value(r#"SELECT count(*) FROM "dms"."DocumentCache""#).await;
    assert_eq!(cached, 0, "nobody filled the cache meanwhile: the second reading was composed");
    door.close().await;
    forgiven
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fixture_document_is_read_as_it_was_posted() {
    round_trip("fixtures-loaded", World::fixtures()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_corpus_document_is_read_as_it_was_posted() {
    let Some(world) = World::corpus() else { return };
    let forgiven = round_trip("corpus-loaded", world).await;
    // Documents whose descriptor URIs are spelled in another case than the descriptors themselves.
    assert_eq!(forgiven.descriptor_case, 503, "{forgiven:?}");
}
