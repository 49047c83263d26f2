//! The writer accepts every document of the fixtures and the corpus, and the stored rows are consistent.
#![allow(clippy::print_stderr, reason = "tests report progress on stderr")]

use futures::stream::{self, StreamExt};
use millstream_store::verify::{VerifyOptions, verify};
use millstream_testkit::corpus::Document;
use millstream_testkit::{TestDatabase, World};
use millstream_writer::{Outcome, Preconditions, Writer, WriterOptions};
use std::time::Instant;

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
    let report =
        verify(database.database(), &world.mapping, &VerifyOptions::default(), &mut |_| {}).await.expect("verified");
    eprintln!("verified {} documents, {} rows at {:?}", report.documents, report.rows, started.elapsed());
    assert_eq!(report.documents as usize, count);
    assert_eq!(report.difference_count(), 0, "{:#?}", report.differences);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fixture_document_is_accepted() {
    let world = World::fixtures();
    let paths = world.corpus.document_paths();
    let documents = paths.iter().flat_map(|path| millstream_testkit::corpus::read(path).expect("the file can be read"));
    accepts_everything(world, documents.map(|d| d.expect("a document")).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_corpus_document_is_accepted() {
    let Some(world) = World::corpus_or_skip() else { return };
    let documents = world.corpus.documents().expect("the file can be read").map(|d| d.expect("a document"));
    accepts_everything(world, documents.collect()).await;
}
