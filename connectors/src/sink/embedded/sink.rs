//! One generation as a sink.

use super::entry::{DELETE_MEMORY, document_block, now_s, tombstone};
use super::folder::{IndexFolder, blocking};
use super::generation::Generation;
use super::scan::EmbeddedScan;
use super::writer::PendingDocument;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Limits, Outcome, RetryCause, Scan, Sink, SinkError};
use std::sync::Arc;
use std::time::Duration;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocAddress, DocSet, Searcher, TERMINATED, Term};

const BATCH_DOCUMENTS_MAX: usize = 1_000;
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Waiting puts share one commit, so more of them make fewer commits.
const IN_FLIGHT_MAX: usize = 4;

/// A generation of the embedded index as a sink, created by [`super::EmbeddedStore`].
#[derive(Clone)]
pub struct EmbeddedSink {
    folder: Arc<IndexFolder>,
    number: u32,
}

impl EmbeddedSink {
    pub(super) fn new(folder: Arc<IndexFolder>, number: u32) -> Self {
        Self { folder, number }
    }

    /// Runs work that reads the disk or computes for long on a blocking thread.
    async fn with_generation<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Generation) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let (folder, number) = (Arc::clone(&self.folder), self.number);
        blocking(self.describe(), move || work(&*folder.generation(number)?)).await
    }

    async fn deliver(&self, deliveries: &[Delivery]) -> Vec<Outcome> {
        let unavailable = |reason: String| {
            deliveries.iter().map(|_| Outcome::retry(RetryCause::Unavailable, reason.clone())).collect::<Vec<_>>()
        };
        let owned = deliveries.to_vec();
        let sent = self.with_generation(move |generation| {
            let documents = owned.iter().map(|delivery| pending(generation, delivery)).collect();
            Ok(generation.writer.send(documents))
        });
        let outcomes = match sent.await {
            Ok(Some(outcomes)) => outcomes,
            Ok(None) => return unavailable(format!("{} was closed", self.describe())),
            Err(error) => return unavailable(error.to_string()),
        };
        match outcomes.await {
            Ok(outcomes) => outcomes,
            Err(_) => unavailable("the index thread ended".to_owned()),
        }
    }
}

fn pending(generation: &Generation, delivery: &Delivery) -> PendingDocument {
    let Delivery { key, version, content, repair } = delivery;
    let (layout, context) = (&generation.layout, &generation.context);
    let block = match content {
        Content::Deleted => Ok(vec![tombstone(layout, key.uuid, *version, now_s())]),
        Content::Document(body) => document_block(layout, &context.keys, &context.model, key, *version, body)
            .map_err(|error| Outcome::Rejected { reason: error.to_string() }),
    };
    PendingDocument { uuid: key.uuid, version: *version, repair: *repair, block }
}

fn fetch(generation: &Generation, searcher: &Searcher, key: &DocumentKey) -> Result<Option<Bytes>, SinkError> {
    let term = Term::from_field_bytes(generation.layout.block, key.uuid.as_bytes());
    for (ordinal, segment) in (0..).zip(searcher.segment_readers()) {
        let index = segment.inverted_index(term.field()).map_err(|error| generation.unreadable(&error))?;
        let postings = index.read_postings(&term, IndexRecordOption::Basic);
        let Some(mut postings) = postings.map_err(|error| generation.unreadable(&error.into()))? else { continue };
        // The document is last in its block.
        let mut last = None;
        while postings.doc() != TERMINATED {
            if !segment.is_deleted(postings.doc()) {
                last = Some(postings.doc());
            }
            postings.advance();
        }
        if let Some(doc) = last {
            return generation.body(searcher, DocAddress::new(ordinal, doc));
        }
    }
    Ok(None)
}

impl Sink for EmbeddedSink {
    fn describe(&self) -> String {
        self.folder.describe_generation(self.number)
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        async move {
            self.with_generation(|generation| {
                if generation.manifest.schema_hash != generation.context.model.schema_hash {
                    // The index still takes documents, and finds them by the fields that it contains.
                    tracing::warn!(
                        generation = generation.number,
                        "the schema has changed since this index was built: searches do not find new fields of documents that \
                         were indexed before; build a new generation (millstream index build)"
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
            // A put whose caller has stopped waiting is still written in its turn.
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
            self.with_generation(move |generation| {
                let searcher = generation.searcher();
                keys.iter().map(|key| fetch(generation, &searcher, key)).collect()
            })
            .await
        }
        .boxed()
    }

    fn scan(&self) -> BoxFuture<'_, Result<Box<dyn Scan>, SinkError>> {
        async move {
            let (folder, number) = (Arc::clone(&self.folder), self.number);
            let scan = blocking(self.describe(), move || Ok(EmbeddedScan::new(folder.generation(number)?))).await?;
            Ok(Box::new(scan) as Box<dyn Scan>)
        }
        .boxed()
    }
}
