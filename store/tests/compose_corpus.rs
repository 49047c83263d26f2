//! Every document of the real corpus, from tables back to JSON: it equals what was posted, and the audit agrees.

mod support;

use millstream_store::compose::compose_documents;
use millstream_store::load::{Caches, heads_by_id};
use millstream_store::table::cache::{CacheOutcome, CacheRow, SameVersion, upsert};
use millstream_store::verify::{VerifyOptions, verify};
use serde_json::Value;
use std::time::{Duration, Instant};
use support::{Planter, assert_same_document, compile, provisioned};

/// Documents of one batch.
const BATCH: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stderr, reason = "says what it did")]
async fn every_corpus_document_is_read_as_it_was_posted() {
    let Some(corpus) = millstream_testkit::corpus::find_or_skip() else { return };
    let compiled = compile(&corpus.schema_paths());
    let test = provisioned("corpus", &compiled).await;
    let (database, mapping) = (test.database(), &compiled.mapping);
    let mut planter = Planter::new(std::sync::Arc::clone(mapping));
    for (at, document) in corpus.documents().expect("the corpus is readable").enumerate() {
        let document = document.expect("a document");
        let resource = mapping.route(&document.project, &document.resource).expect("a known endpoint");
        planter.plant(resource, serde_json::from_slice(document.body()).expect("JSON"));
        if at % 2_000 == 1_999 {
            planter.flush(database).await;
        }
    }
    planter.flush(database).await;
    let client = database.get().await.expect("connected");
    client.batch_execute("ANALYZE").await.expect("analyzed");

    let caches = Caches::default();
    let mut spent = Duration::ZERO;
    for batch in planter.planted.chunks(BATCH) {
        let ids: Vec<i64> = batch.iter().map(|planted| planted.document_id).collect();
        let start = Instant::now();
        let heads = heads_by_id(&client, &ids).await.expect("heads");
        let composed = compose_documents(&client, mapping, &caches, heads).await.expect("composed");
        spent += start.elapsed();
        assert_eq!(composed.len(), batch.len());
        let mut rows = Vec::new();
        for (planted, composed) in batch.iter().zip(&composed) {
            assert_eq!(planted.document_id, composed.head.document_id);
            let body = composed.body.as_ref().unwrap_or_else(|error| panic!("{error}"));
            let read: Value = serde_json::from_slice(body).expect("valid JSON");
            assert_same_document(&planted.body, &read, &mapping.resource(planted.resource).resource_name);
            rows.push(CacheRow { head: &composed.head, body });
        }
        let outcomes = upsert(&client, &rows, SameVersion::Keep).await.expect("stored");
        assert!(outcomes.iter().all(|outcome| *outcome == CacheOutcome::Stored), "{outcomes:?}");
    }
    let count = planter.planted.len();
    eprintln!("{count} documents composed in {spent:?}, {:.0} a second", count as f64 / spent.as_secs_f64());

    let start = Instant::now();
    let report = verify(database, mapping, &VerifyOptions::default(), &mut |_| {}).await.expect("audited");
    eprintln!("audited in {:?}: {} rows", start.elapsed(), report.rows);
    assert_eq!(report.documents, count as u64);
    assert!(report.is_clean(), "{report:#?}");
}
