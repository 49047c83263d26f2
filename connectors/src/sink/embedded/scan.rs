//! A walk over everything that a generation holds, as it was when the walk began.

use super::generation::Generation;
use super::layout::{ID, VERSION};
use super::sink::body;
use super::store::blocking;
use futures::future::{BoxFuture, FutureExt};
use millstream_pipeline::sink::{Content, Held, Scan, SinkError};
use std::sync::Arc;
use tantivy::{DocAddress, Searcher, TantivyError};
use uuid::Uuid;

/// Entries that one step hands out.
const PAGE: usize = 500;

pub(super) struct EmbeddedScan {
    walk: Arc<Walk>,
    next: Place,
}

struct Walk {
    generation: Arc<Generation>,
    /// Files that it needs stay until it is gone.
    searcher: Searcher,
}

/// The next entry to look at.
#[derive(Clone, Copy)]
struct Place {
    segment: u32,
    doc: u32,
}

impl EmbeddedScan {
    pub(super) fn new(generation: Arc<Generation>) -> Self {
        let searcher = generation.searcher();
        Self { walk: Arc::new(Walk { generation, searcher }), next: Place { segment: 0, doc: 0 } }
    }
}

impl Scan for EmbeddedScan {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Held>, SinkError>> {
        async move {
            let (walk, place) = (Arc::clone(&self.walk), self.next);
            let (page, next) = blocking(self.walk.generation.describe(), move || walk.page(place)).await?;
            self.next = next;
            Ok(page)
        }
        .boxed()
    }
}

impl Walk {
    fn page(&self, mut place: Place) -> Result<(Vec<Held>, Place), SinkError> {
        let mut page = Vec::new();
        while let Some(segment) = self.searcher.segment_readers().get(place.segment as usize) {
            let broken = |error: TantivyError| self.generation.unreadable(&error);
            let versions = segment.fast_fields().i64(VERSION).map_err(broken)?;
            let ids = segment.fast_fields().bytes(ID).map_err(broken)?;
            while place.doc < segment.max_doc() {
                if page.len() == PAGE {
                    return Ok((page, place));
                }
                let doc = place.doc;
                place.doc += 1;
                if segment.is_deleted(doc) {
                    continue;
                }
                // Elements of collections have none.
                let (Some(version), Some(ids)) = (versions.first(doc), &ids) else { continue };
                let mut id = Vec::new();
                for ord in ids.term_ords(doc) {
                    ids.ord_to_bytes(ord, &mut id).map_err(|error| broken(error.into()))?;
                }
                let uuid = Uuid::from_slice(&id).map_err(|error| {
                    broken(TantivyError::InternalError(format!("a document without an id: {error}")))
                })?;
                let body = body(&self.generation, &self.searcher, DocAddress::new(place.segment, doc))?;
                let content = body.map_or(Content::Deleted, Content::Document);
                page.push(Held { uuid, version: Some(version), resource_key: None, content });
            }
            place = Place { segment: place.segment + 1, doc: 0 };
        }
        Ok((page, place))
    }
}
