//! The search engine on the live generation.

use super::collect::PageCollector;
use super::folder::blocking;
use super::generation::Generation;
use super::query::documents;
use super::store::EmbeddedStore;
use futures::future::{BoxFuture, FutureExt, ready};
use millstream_pipeline::sink::SinkError;
use millstream_search::{Hit, SearchEngine, SearchError, SearchPage, SearchQuery};
use std::sync::Arc;

impl SearchEngine for EmbeddedStore {
    fn describe(&self) -> String {
        self.folder.describe()
    }

    fn search<'a>(&'a self, query: &'a SearchQuery) -> BoxFuture<'a, Result<SearchPage, SearchError>> {
        async move {
            let (folder, query) = (Arc::clone(&self.folder), query.clone());
            let page = blocking(self.folder.describe(), move || search(&*folder.live_generation()?, &query));
            page.await.map_err(|error| self.search_error(&error))
        }
        .boxed()
    }

    /// Does nothing: a delivery reported as done is committed, and every search sees the last commit.
    fn refresh(&self) -> BoxFuture<'_, Result<(), SearchError>> {
        ready(Ok(())).boxed()
    }
}

impl EmbeddedStore {
    fn search_error(&self, error: &SinkError) -> SearchError {
        let (engine, reason) = (self.folder.describe(), error.to_string());
        match error {
            SinkError::Unavailable { .. } => SearchError::Unavailable { engine, reason },
            SinkError::Unfit { .. } | SinkError::Broken { .. } => SearchError::Failed { engine, reason },
        }
    }
}

fn search(generation: &Generation, query: &SearchQuery) -> Result<SearchPage, SinkError> {
    let searcher = generation.searcher();
    let keys = generation.context.keys.of_resource(&query.resource);
    let matches = searcher
        .search(&documents(&generation.layout, keys, query), &PageCollector::of(query))
        .map_err(|error| generation.unreadable(&error))?;
    let facets = matches.facets(query);
    let limit = query.limit as usize;
    let has_more = matches.documents.len() > limit;
    let mut hits = Vec::with_capacity(limit.min(matches.documents.len()));
    for document in matches.documents.iter().take(limit) {
        let body = generation.body(&searcher, document.address)?.ok_or_else(|| SinkError::Broken {
            sink: generation.describe(),
            reason: format!("the document {} has no body", document.uuid),
        })?;
        hits.push(Hit { uuid: document.uuid, version: document.version, body });
    }
    let next = match hits.last() {
        Some(last) if has_more => query.cursor_after(last).map_err(|error| SinkError::Broken {
            sink: generation.describe(),
            reason: format!("the document {} is not JSON: {error}", last.uuid),
        })?,
        _ => None,
    };
    Ok(SearchPage { documents: hits, total: query.total_count.then_some(matches.total), facets, next })
}
