//! Answering searches from the live generation.

use super::collect::Page;
use super::generation::Generation;
use super::query::documents;
use super::sink::body;
use super::store::{EmbeddedStore, blocking};
use futures::future::{BoxFuture, FutureExt, ready};
use millstream_pipeline::sink::SinkError;
use millstream_search::{Hit, SearchEngine, SearchError, SearchPage, SearchQuery};

impl SearchEngine for EmbeddedStore {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn search<'a>(&'a self, query: &'a SearchQuery) -> BoxFuture<'a, Result<SearchPage, SearchError>> {
        async move {
            let (store, query) = (std::sync::Arc::clone(&self.inner), query.clone());
            let answer = blocking(self.inner.describe(), move || answer(&*store.live_generation()?, &query));
            answer.await.map_err(|error| self.failure(&error))
        }
        .boxed()
    }

    /// What was answered with "done" is committed, and every search sees what was committed.
    fn refresh(&self) -> BoxFuture<'_, Result<(), SearchError>> {
        ready(Ok(())).boxed()
    }
}

impl EmbeddedStore {
    fn failure(&self, error: &SinkError) -> SearchError {
        let (engine, reason) = (self.inner.describe(), error.to_string());
        match error {
            SinkError::Unavailable { .. } => SearchError::Unavailable { engine, reason },
            SinkError::Unfit { .. } | SinkError::Broken { .. } => SearchError::Failed { engine, reason },
        }
    }
}

fn answer(generation: &Generation, query: &SearchQuery) -> Result<SearchPage, SinkError> {
    let searcher = generation.searcher();
    let keys = generation.shared.keys.of_type(&query.resource);
    let found = searcher
        .search(&documents(&generation.layout, keys, query), &Page::of(query))
        .map_err(|error| generation.unreadable(&error))?;
    let facets = found.facets(query);
    let limit = query.limit as usize;
    let has_more = found.documents.len() > limit;
    let mut hits = Vec::with_capacity(limit.min(found.documents.len()));
    for document in found.documents.iter().take(limit) {
        let body = body(generation, &searcher, document.address)?.ok_or_else(|| SinkError::Broken {
            sink: generation.describe(),
            reason: format!("the document {} has no body", document.uuid),
        })?;
        hits.push(Hit { uuid: document.uuid, version: document.version, body });
    }
    let next = match hits.last() {
        Some(last) if has_more => query.cursor_after(last).map_err(|error| SinkError::Broken {
            sink: generation.describe(),
            reason: format!("the document {} is no JSON: {error}", last.uuid),
        })?,
        _ => None,
    };
    Ok(SearchPage { documents: hits, total: query.total_count.then_some(found.total), facets, next })
}
