//! Variants of the published schemas, as other versions and hosts could have them, with the part of the corpus that fits.
//!
//! `MILLSTREAM_SEED` determines the dropped parts and the first variant; `MILLSTREAM_TEST_TRIALS` sets the number of
//! variants and ignores the time budget.
#![allow(clippy::print_stdout, reason = "tests report progress on stdout")]

mod alter;

use alter::{Files, VARIANTS, resources};
use millstream_schema::plan::Mapping;
use millstream_schema::{apischema, ddl, model, plan};
use millstream_store::provision;
use millstream_store::verify::{VerifyOptions, verify};
use millstream_testkit::TestDatabase;
use millstream_testkit::corpus::{self, Document};
use millstream_writer::{Preconditions, WriteError, Writer, WriterOptions};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BUDGET: Duration = Duration::from_secs(25);
/// Maximum numbers of stored and of attempted documents per type.
const STORED_OF_TYPE: usize = 6;
const TRIED_OF_TYPE: usize = 40;
/// Minimum number of stored documents other than descriptors.
const STORED_MIN: usize = 200;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("invalid {variable} {text:?}: {error}")))
}

fn texts(files: &Files) -> Vec<(PathBuf, Vec<u8>)> {
    let text = |(at, file): (usize, &serde_json::Value)| (PathBuf::from(format!("{at}.json")), file.to_string().into());
    files.iter().enumerate().map(text).collect()
}

/// Reads the published files, the core first.
fn published(corpus: &corpus::Corpus) -> Files {
    let read = |path: PathBuf| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(path).expect("the file can be read")).expect("JSON")
    };
    let mut files: Files = corpus.schema_paths().into_iter().map(read).collect();
    files.sort_by_key(|file| file["projectSchema"]["isExtensionProject"] == serde_json::json!(true));
    files
}

/// Posts a few documents of each type; returns the numbers of stored descriptors and other documents. Documents of dropped
/// types or with dropped references are skipped; any other refusal fails the test.
async fn fill(
    writer: &Writer,
    mapping: &Mapping,
    endpoints: &BTreeMap<String, String>,
    documents: &[Document],
) -> (usize, usize) {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let (mut descriptors, mut others) = (0, 0);
    for document in documents {
        let (kept, tried) = counts.entry(&document.resource).or_default();
        // All descriptors are posted: every type needs them.
        let is_limited = !document.resource.ends_with("Descriptors");
        if is_limited && (*kept >= STORED_OF_TYPE || *tried >= TRIED_OF_TYPE) {
            continue;
        }
        let Some(endpoint) = endpoints.get(&document.project) else { continue };
        let Some(resource) = mapping.route(endpoint, &document.resource) else { continue };
        *tried += 1;
        match writer.post(resource, document.body(), &Preconditions::default()).await {
            Ok(_) => {
                *kept += 1;
                *(if is_limited { &mut others } else { &mut descriptors }) += 1;
            }
            Err(WriteError::UnresolvedReference { .. } | WriteError::DescriptorNotFound { .. }) => {}
            Err(WriteError::Invalid { validation_errors, .. })
                if validation_errors.values().flatten().any(|message| message.starts_with("Unknown extension")) => {}
            Err(error) => {
                panic!("{} was refused: {error:?}\n{}", document.resource, String::from_utf8_lossy(document.body()))
            }
        }
    }
    (descriptors, others)
}

async fn run(name: &str, files: &Files, originals: &Files, documents: &[Document]) {
    let started = Instant::now();
    let mut texts = texts(files);
    let schema = apischema::load_texts(&texts).unwrap_or_else(|errors| panic!("{name}: {errors}"));
    let model = model::derive(&schema).unwrap_or_else(|errors| panic!("{name}: {errors}"));
    let ddl = ddl::postgres(&model);
    texts.reverse();
    let again = apischema::load_texts(&texts).unwrap_or_else(|errors| panic!("{name}: {errors}"));
    let again = model::derive(&again).unwrap_or_else(|errors| panic!("{name}: {errors}"));
    assert!(ddl == ddl::postgres(&again), "{name}: the order of files changes the DDL");
    let database = TestDatabase::create().await;
    provision::apply(database.database(), &schema, &ddl).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    let mapping = Arc::new(plan::compile(&schema, &model));
    let writer = Writer::new(database.database().clone(), Arc::clone(&mapping), WriterOptions::default());
    let writer = writer.unwrap_or_else(|error| panic!("{name}: {error}"));
    let endpoint = |file: &serde_json::Value| file["projectSchema"]["projectEndpointName"].as_str().map(str::to_owned);
    let endpoints = originals.iter().filter_map(endpoint).map(|own| {
        let now = if Some(&own) == endpoint(&originals[0]).as_ref() { endpoint(&files[0]) } else { None };
        (own.clone(), now.unwrap_or(own))
    });
    let (descriptors, others) = fill(&writer, &mapping, &endpoints.collect(), documents).await;
    let report = verify(database.database(), &mapping, &VerifyOptions::default(), &mut |_| {}).await.expect("verified");
    let types: usize = files.iter().map(|file| resources(file).count()).sum();
    println!(
        "{name}: {types} resources, {descriptors} descriptors and {others} documents, {} rows in {:?}",
        report.rows,
        started.elapsed()
    );
    assert_eq!(
        (report.documents as usize, report.difference_count()),
        (descriptors + others, 0),
        "{name}: {:#?}",
        report.differences
    );
    assert!(others >= STORED_MIN, "{name}: too few documents fit");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_cuts_of_the_published_schemas_are_filled_and_verified() {
    let Some(corpus) = corpus::find_or_skip() else { return };
    let (seed, trials) = (number("MILLSTREAM_SEED").unwrap_or(1), number("MILLSTREAM_TEST_TRIALS"));
    let documents: Vec<Document> =
        corpus.documents().expect("the file can be read").map(|d| d.expect("a document")).collect();
    let originals = published(&corpus);
    let started = Instant::now();
    let mut done = 0;
    while trials.map_or(done == 0 || started.elapsed() < BUDGET, |trials| done < trials) {
        let seed = seed + done;
        let (name, alter) = VARIANTS[(seed as usize - 1) % VARIANTS.len()];
        let mut files = originals.clone();
        alter(&mut files, &mut StdRng::seed_from_u64(seed));
        run(&format!("MILLSTREAM_SEED={seed} {name}"), &files, &originals, &documents).await;
        done += 1;
    }
}
