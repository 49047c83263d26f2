//! A scan of a generation as of the start of the scan.

use super::folder::blocking;
use super::generation::Generation;
use super::layout::{ID, VERSION};
use futures::future::{BoxFuture, FutureExt};
use millstream_pipeline::sink::{Content, Held, Scan, SinkError};
use std::sync::Arc;
use tantivy::{DocAddress, Searcher, TantivyError};
use uuid::Uuid;

/// Entries per page.
const PAGE: usize = 500;

pub(super) struct EmbeddedScan {
    snapshot: Arc<IndexSnapshot>,
    next: ScanCursor,
}

struct IndexSnapshot {
    generation: Arc<Generation>,
    /// Keeps the files of the snapshot until it is dropped.
    searcher: Searcher,
}

/// The next entry to read.
#[derive(Clone, Copy)]
struct ScanCursor {
    segment: u32,
    doc: u32,
}

impl EmbeddedScan {
    pub(super) fn new(generation: Arc<Generation>) -> Self {
        let searcher = generation.searcher();
        let snapshot = Arc::new(IndexSnapshot { generation, searcher });
        Self { snapshot, next: ScanCursor { segment: 0, doc: 0 } }
    }
}

impl Scan for EmbeddedScan {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Held>, SinkError>> {
        async move {
            let (snapshot, cursor) = (Arc::clone(&self.snapshot), self.next);
            let (page, next) = blocking(self.snapshot.generation.describe(), move || snapshot.page(cursor)).await?;
            self.next = next;
            Ok(page)
        }
        .boxed()
    }
}

impl IndexSnapshot {
    fn page(&self, mut cursor: ScanCursor) -> Result<(Vec<Held>, ScanCursor), SinkError> {
        let mut page = Vec::new();
        while let Some(segment) = self.searcher.segment_readers().get(cursor.segment as usize) {
            let broken = |error: TantivyError| self.generation.unreadable(&error);
            let versions = segment.fast_fields().i64(VERSION).map_err(broken)?;
            let ids = segment.fast_fields().bytes(ID).map_err(broken)?;
            while cursor.doc < segment.max_doc() {
                if page.len() == PAGE {
                    return Ok((page, cursor));
                }
                let doc = cursor.doc;
                cursor.doc += 1;
                if segment.is_deleted(doc) {
                    continue;
                }
                // Elements of collections have no version.
                let (Some(version), Some(ids)) = (versions.first(doc), &ids) else { continue };
                let mut id = Vec::new();
                for ord in ids.term_ords(doc) {
                    ids.ord_to_bytes(ord, &mut id).map_err(|error| broken(error.into()))?;
                }
                let uuid = Uuid::from_slice(&id).map_err(|error| {
                    broken(TantivyError::InternalError(format!("a document without an id: {error}")))
                })?;
                let body = self.generation.body(&self.searcher, DocAddress::new(cursor.segment, doc))?;
                let content = body.map_or(Content::Deleted, Content::Document);
                page.push(Held { uuid, version: Some(version), resource_key: None, content });
            }
            cursor = ScanCursor { segment: cursor.segment + 1, doc: 0 };
        }
        Ok((page, cursor))
    }
}
