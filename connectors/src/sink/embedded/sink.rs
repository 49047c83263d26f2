//! One generation as a sink.

use super::entry::{block, now_s, tombstone};
use super::generation::Generation;
use super::scan::EmbeddedScan;
use super::store::{Inner, blocking};
use super::writer::Entry;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Limits, Outcome, RetryCause, Scan, Sink, SinkError};
use std::sync::Arc;
use std::time::Duration;
use tantivy::schema::{IndexRecordOption, Value};
use tantivy::{DocAddress, DocSet, Searcher, TERMINATED, TantivyDocument, Term};

/// How long the version of a deleted document is remembered.
pub const DELETE_MEMORY: Duration = Duration::from_secs(24 * 3_600);

const BATCH_DOCUMENTS_MAX: usize = 1_000;
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Puts that wait go into one commit: more of them make fewer commits.
const IN_FLIGHT_MAX: usize = 4;

/// A generation of the embedded index, which documents are delivered to. [`super::EmbeddedStore`] makes it.
#[derive(Clone)]
pub struct EmbeddedSink {
    store: Arc<Inner>,
    number: u32,
}

impl EmbeddedSink {
    pub(super) fn new(store: Arc<Inner>, number: u32) -> Self {
        Self { store, number }
    }

    /// Runs something that reads the disk or computes for long on a thread for that.
    async fn on<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Generation) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let (store, number) = (Arc::clone(&self.store), self.number);
        blocking(self.describe(), move || work(&*store.generation(number)?)).await
    }

    async fn deliver(&self, deliveries: &[Delivery]) -> Vec<Outcome> {
        let unavailable = |reason: String| {
            deliveries.iter().map(|_| Outcome::retry(RetryCause::Unavailable, reason.clone())).collect::<Vec<_>>()
        };
        let owned = deliveries.to_vec();
        let sent = self.on(move |generation| {
            let entries = owned.iter().map(|delivery| entry(generation, delivery)).collect();
            Ok(generation.writer.send(entries))
        });
        let answer = match sent.await {
            Ok(Some(answer)) => answer,
            Ok(None) => return unavailable(format!("{} was closed", self.describe())),
            Err(error) => return unavailable(error.to_string()),
        };
        match answer.await {
            Ok(outcomes) => outcomes,
            Err(_) => unavailable("the thread of the index ended".to_owned()),
        }
    }
}

fn entry(generation: &Generation, delivery: &Delivery) -> Entry {
    let Delivery { key, version, content, repair } = delivery;
    let block = match content {
        Content::Deleted => Ok(vec![tombstone(&generation.layout, key.uuid, *version, now_s())]),
        Content::Document(body) => match generation.shared.model.by_key(key.resource_key) {
            Some(resource) => {
                let keys = &generation.shared.keys;
                block(&generation.layout, keys, resource, key.uuid, *version, body)
                    .map_err(|error| Outcome::Rejected { reason: format!("the body is no JSON: {error}") })
            }
            None => {
                let reason = format!("the schema has no type with the key {}", key.resource_key);
                Err(Outcome::Rejected { reason })
            }
        },
    };
    Entry { uuid: key.uuid, version: *version, repair: *repair, block }
}

/// The bytes of a document; `None` for an entry that holds none.
pub(super) fn body(generation: &Generation, searcher: &Searcher, at: DocAddress) -> Result<Option<Bytes>, SinkError> {
    let entry: TantivyDocument = searcher.doc(at).map_err(|error| generation.unreadable(&error))?;
    let bytes = entry.get_first(generation.layout.body).and_then(|value| value.as_bytes().map(Bytes::copy_from_slice));
    Ok(bytes)
}

fn fetch(generation: &Generation, searcher: &Searcher, key: &DocumentKey) -> Result<Option<Bytes>, SinkError> {
    let term = Term::from_field_bytes(generation.layout.block, key.uuid.as_bytes());
    for (ordinal, segment) in (0..).zip(searcher.segment_readers()) {
        let index = segment.inverted_index(term.field()).map_err(|error| generation.unreadable(&error))?;
        let postings = index.read_postings(&term, IndexRecordOption::Basic);
        let Some(mut postings) = postings.map_err(|error| generation.unreadable(&error.into()))? else { continue };
        // The document stands last in its block.
        let mut last = None;
        while postings.doc() != TERMINATED {
            if !segment.is_deleted(postings.doc()) {
                last = Some(postings.doc());
            }
            postings.advance();
        }
        if let Some(doc) = last {
            return body(generation, searcher, DocAddress::new(ordinal, doc));
        }
    }
    Ok(None)
}

impl Sink for EmbeddedSink {
    fn describe(&self) -> String {
        self.store.describe_generation(self.number)
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        async move {
            self.on(|generation| {
                if generation.mark.schema_hash != generation.shared.model.schema_hash {
                    // It takes documents all the same, and finds them by what it knows.
                    tracing::warn!(
                        generation = generation.number,
                        "the schema has changed since this index was built: searches miss what is new in it for documents \
                         that were indexed before, until a new generation is built (millstream index build)"
                    );
                }
                Ok(())
            })
            .await
        }
        .boxed()
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_documents_max: BATCH_DOCUMENTS_MAX,
            batch_bytes_max: BATCH_BYTES_MAX,
            in_flight_max: IN_FLIGHT_MAX,
            // A put that nobody waits for any more is written in its turn all the same.
            request_life_max: Duration::from_secs(60),
            delete_memory: DELETE_MEMORY,
            guards_versions: true,
        }
    }

    fn put<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Vec<Outcome>> {
        self.deliver(deliveries).boxed()
    }

    fn fetch<'a>(&'a self, keys: &'a [DocumentKey]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, SinkError>> {
        let keys = keys.to_vec();
        async move {
            self.on(move |generation| {
                let searcher = generation.searcher();
                keys.iter().map(|key| fetch(generation, &searcher, key)).collect()
            })
            .await
        }
        .boxed()
    }

    fn scan(&self) -> BoxFuture<'_, Result<Box<dyn Scan>, SinkError>> {
        async move {
            let (store, number) = (Arc::clone(&self.store), self.number);
            let scan = blocking(self.describe(), move || Ok(EmbeddedScan::new(store.generation(number)?))).await?;
            Ok(Box::new(scan) as Box<dyn Scan>)
        }
        .boxed()
    }
}
