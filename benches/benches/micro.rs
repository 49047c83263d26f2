//! Micro-benchmarks: loading and compiling the schema, ReferentialIds, reading a body into rows, composing.
#![allow(missing_docs)] // criterion_group! creates public items

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millstream_schema::{apischema, model, plan, referential};
use millstream_store::compose::Loaded;
use millstream_store::load::{Caches, heads_after};
use millstream_testkit::World;
use millstream_writer::{Preconditions, Validators, Writer, WriterOptions, body};
use std::hint::black_box;

fn referential_ids(c: &mut Criterion) {
    let elements = [
        ("$.courseOfferingReference.localCourseCode", "ALG-1"),
        ("$.courseOfferingReference.schoolId", "255901"),
        ("$.courseOfferingReference.schoolYear", "2031"),
        ("$.courseOfferingReference.sessionName", "Fall Term"),
        ("$.sectionIdentifier", "SEC-9"),
    ];
    c.bench_function("referential id of a section", |b| {
        b.iter(|| referential::referential_id(black_box("Ed-Fi"), black_box("Section"), black_box(elements)));
    });
}

fn schema(c: &mut Criterion) {
    let world = World::corpus().unwrap_or_else(World::fixtures);
    let files = world.corpus.schema_paths();
    let mut group = c.benchmark_group("schema");
    group.sample_size(10);
    group.bench_function("load, check and hash the files", |b| {
        b.iter(|| apischema::load(black_box(&files)).expect("valid"))
    });
    group.bench_function("derive the model", |b| b.iter(|| model::derive(black_box(&world.schema)).expect("valid")));
    let model = model::derive(&world.schema).expect("valid");
    group
        .bench_function("compile the plans", |b| b.iter(|| plan::compile(black_box(&world.schema), black_box(&model))));
    group.bench_function("compile the validators", |b| {
        b.iter(|| Validators::compile(black_box(&world.mapping)).expect("valid"))
    });
    group.finish();
}

fn bodies(c: &mut Criterion) {
    let world = World::corpus().unwrap_or_else(World::fixtures);
    let validators = Validators::compile(&world.mapping).expect("valid");
    let files = world.corpus.document_paths();
    let documents: Vec<_> = files
        .iter()
        .flat_map(|path| millstream_testkit::corpus::read(path).expect("the file can be read"))
        .map(|document| document.expect("a document"))
        .step_by(26)
        .collect();
    let mut group = c.benchmark_group("body");
    group.throughput(Throughput::Elements(documents.len() as u64));
    group.bench_function("parse, validate and flatten", |b| {
        b.iter(|| {
            for document in &documents {
                let resource = world.mapping.route(&document.project, &document.resource).expect("a route");
                black_box(body::plan(world.mapping.resource(resource), &validators, document.body()).ok());
            }
        });
    });
    group.finish();
}

/// Measures composing alone: a batch of mixed types, as the projector takes it, whose rows are read before.
fn composing(c: &mut Criterion) {
    const BATCH: usize = 200;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let world = World::fixtures();
    let (database, loaded) = runtime.block_on(async {
        let database = world.database().await;
        let writer =
            Writer::new(database.database().clone(), std::sync::Arc::clone(&world.mapping), WriterOptions::default())
                .expect("valid");
        for path in world.corpus.document_paths() {
            for document in millstream_testkit::corpus::read(&path).expect("the file can be read") {
                let document = document.expect("a document");
                let resource = world.mapping.route(&document.project, &document.resource).expect("a route");
                writer.post(resource, document.body(), &Preconditions::default()).await.expect("accepted");
            }
        }
        let client = database.database().get().await.expect("a connection");
        let heads = heads_after(&client, 0, BATCH as u32).await.expect("heads");
        assert_eq!(heads.len(), BATCH);
        let loaded = Loaded::read(&client, &world.mapping, &Caches::default(), heads).await.expect("rows");
        drop(client);
        (database, loaded)
    });
    let mut group = c.benchmark_group("compose");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("bodies of a batch whose rows are read", |b| {
        b.iter(|| black_box(loaded.compose(&world.mapping)))
    });
    group.finish();
    drop(loaded);
    runtime.block_on(async { drop(database) });
}

criterion_group!(benches, referential_ids, schema, bodies, composing);
criterion_main!(benches);
