//! The writer accepts every document of the fixtures and the corpus, and the stored rows are consistent.
#![allow(clippy::print_stderr, reason = "tests report progress on stderr")]

use futures::stream::{self, StreamExt};
use millstream_store::connect::{Database, PoolOptions};
use millstream_store::verify::{VerifyOptions, verify};
use millstream_testkit::corpus::Document;
use millstream_testkit::{TestDatabase, World};
use millstream_writer::{BatchOptions, Outcome, Preconditions, Writer, WriterOptions};
use std::time::Instant;
use tokio::task::{JoinError, JoinHandle};

/// A writer with lanes. They end when the writer is dropped.
fn batching(
    world: &World,
    database: &TestDatabase,
    options: BatchOptions,
) -> (Writer, JoinHandle<Result<(), JoinError>>) {
    let sessions = Database::new(database.database().options(), PoolOptions::of_size(options.lanes));
    let (writer, lanes) = writer(world, database).batching(sessions.expect("a pool"), options);
    (writer, tokio::spawn(lanes.run()))
}

fn writer(world: &World, database: &TestDatabase) -> Writer {
    Writer::new(database.database().clone(), std::sync::Arc::clone(&world.mapping), WriterOptions::default())
        .expect("schemas compile")
}

/// Posts documents in order, with runs of one type in parallel; returns the number of created documents.
async fn load(world: &World, writer: &Writer, documents: Vec<Document>, concurrency: usize) -> usize {
    let mut created = 0;
    let mut rest = documents.as_slice();
    while let Some(first) = rest.first() {
        let run = rest.iter().take_while(|d| d.resource == first.resource).count();
        let (now, later) = rest.split_at(run);
        let resource = world.mapping.route(&first.project, &first.resource).expect("a route");
        // Types that refer to themselves are in dependency order.
        let refers_to_itself =
            world.mapping.resource(resource).references.iter().any(|site| {
                site.target_resource == world.mapping.resource(resource).resource_name || site.target_abstract
            });
        let width = if refers_to_itself { 1 } else { concurrency };
        let outcomes: Vec<Outcome> = stream::iter(now)
            .map(|document| async move {
                match writer.post(resource, document.body(), &Preconditions::default()).await {
                    Ok(written) => written.outcome,
                    Err(error) => panic!(
                        "{}/{} was refused: {error:?}\n{}",
                        document.project,
                        document.resource,
                        String::from_utf8_lossy(document.body())
                    ),
                }
            })
            .buffer_unordered(width)
            .collect()
            .await;
        created += outcomes.iter().filter(|outcome| **outcome == Outcome::Created).count();
        rest = later;
    }
    created
}

async fn accepts_everything(world: &'static World, documents: Vec<Document>) {
    let database = world.database().await;
    let writer = writer(world, &database);
    let count = documents.len();
    let started = Instant::now();
    let created = load(world, &writer, documents, 8).await;
    eprintln!("{created} documents in {:?}", started.elapsed());
    assert_eq!(created, count);
    check(world, &database, count).await;
}

async fn accepts_everything_in_batches(world: &'static World, documents: Vec<Document>) {
    let database = world.database().await;
    let (writer, lanes) = batching(world, &database, BatchOptions::default());
    let count = documents.len();
    let started = Instant::now();
    let created = load(world, &writer, documents.clone(), 64).await;
    eprintln!("{created} documents in batches in {:?}", started.elapsed());
    assert_eq!(created, count);
    let started = Instant::now();
    assert_eq!(load(world, &writer, documents, 64).await, 0, "all of them exist");
    eprintln!("again in {:?}", started.elapsed());
    drop(writer);
    lanes.await.expect("no panic").expect("the lanes end with the writer");
    check(world, &database, count).await;
}

/// Checks that the database has so many documents, without a difference.
async fn check(world: &World, database: &TestDatabase, count: usize) {
    let started = Instant::now();
    let report =
        verify(database.database(), &world.mapping, &VerifyOptions::default(), &mut |_| {}).await.expect("verified");
    eprintln!("verified {} documents, {} rows at {:?}", report.documents, report.rows, started.elapsed());
    assert_eq!(report.documents as usize, count);
    assert_eq!(report.difference_count(), 0, "{:#?}", report.differences);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fixture_document_is_accepted() {
    let world = World::fixtures();
    accepts_everything(world, fixtures(world)).await;
}

fn fixtures(world: &World) -> Vec<Document> {
    let paths = world.corpus.document_paths();
    let documents = paths.iter().flat_map(|path| millstream_testkit::corpus::read(path).expect("the file can be read"));
    documents.map(|document| document.expect("a document")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fixture_document_is_accepted_in_batches() {
    let world = World::fixtures();
    accepts_everything_in_batches(world, fixtures(world)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_one_batch_may_refer_to_each_other_in_any_order() {
    let world = World::fixtures();
    let database = world.database().await;
    let documents: Vec<Document> = fixtures(world).into_iter().rev().collect();
    let options = BatchOptions { lanes: 1, documents_max: documents.len(), ..BatchOptions::default() };
    let sessions = Database::new(database.database().options(), PoolOptions::of_size(1)).expect("a pool");
    let (writer, lanes) = writer(world, &database).batching(sessions, options);
    let posts = documents.iter().map(|document| {
        let resource = world.mapping.route(&document.project, &document.resource).expect("a route");
        let writer = writer.clone();
        async move { writer.post(resource, document.body(), &Preconditions::default()).await }
    });
    let mut posts = futures::future::join_all(posts);
    // All of them are waiting before the lane begins.
    assert!(futures::poll!(&mut posts).is_pending());
    let lanes = tokio::spawn(lanes.run());
    for (written, document) in posts.await.into_iter().zip(&documents) {
        let written = written.unwrap_or_else(|error| panic!("{}: {error:?}", document.resource));
        assert_eq!(written.outcome, Outcome::Created);
    }
    drop(writer);
    lanes.await.expect("no panic").expect("the lane ends with the writer");
    check(world, &database, documents.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_corpus_document_is_accepted_in_batches() {
    let Some(world) = World::corpus_or_skip() else { return };
    let documents = world.corpus.documents().expect("the file can be read").map(|d| d.expect("a document"));
    accepts_everything_in_batches(world, documents.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_corpus_document_is_accepted() {
    let Some(world) = World::corpus_or_skip() else { return };
    let documents = world.corpus.documents().expect("the file can be read").map(|d| d.expect("a document"));
    accepts_everything(world, documents.collect()).await;
}
