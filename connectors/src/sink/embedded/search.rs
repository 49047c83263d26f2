//! The search engine on the live generation.

use super::collect::{CollectError, PageCollector};
use super::facets::DISTINCT_VALUES_MAX;
use super::folder::blocking;
use super::generation::Generation;
use super::query::documents;
use super::store::EmbeddedStore;
use futures::future::{BoxFuture, FutureExt, ready};
use millstream_pipeline::sink::SinkError;
use millstream_search::{Hit, SearchEngine, SearchError, SearchPage, SearchQuery};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl SearchEngine for EmbeddedStore {
    fn describe(&self) -> String {
        self.folder.describe()
    }

    fn search<'a>(&'a self, query: &'a SearchQuery) -> BoxFuture<'a, Result<SearchPage, SearchError>> {
        async move {
            let permit = Arc::clone(&self.searches).acquire_owned().await;
            let stop = CancellationToken::new();
            // The client has gone when this future is dropped.
            let _stop_when_dropped = stop.clone().drop_guard();
            let (folder, query) = (Arc::clone(&self.folder), query.clone());
            let page = blocking(self.folder.describe(), move || {
                // The permit belongs to the work: an abandoned search delays the next one until it has stopped.
                let _permit = permit;
                Ok(search(&*folder.live_generation()?, &query, &stop))
            });
            match page.await {
                Ok(page) => page.map_err(|failure| self.search_error(failure)),
                Err(error) => Err(self.search_error(SearchFailure::Sink(error))),
            }
        }
        .boxed()
    }

    /// Does nothing: a delivery reported as done is committed, and every search sees the last commit.
    fn refresh(&self) -> BoxFuture<'_, Result<(), SearchError>> {
        ready(Ok(())).boxed()
    }
}

/// Why a search has no page.
enum SearchFailure {
    Sink(SinkError),
    /// The name of a facet.
    TooManyValues(String),
    Stopped,
}

impl From<SinkError> for SearchFailure {
    fn from(error: SinkError) -> Self {
        Self::Sink(error)
    }
}

impl EmbeddedStore {
    fn search_error(&self, failure: SearchFailure) -> SearchError {
        let engine = self.folder.describe();
        match failure {
            SearchFailure::Sink(error @ SinkError::Unavailable { .. }) => {
                SearchError::Unavailable { engine, reason: error.to_string() }
            }
            SearchFailure::Sink(error @ (SinkError::Incompatible { .. } | SinkError::Broken { .. })) => {
                SearchError::Failed { engine, reason: error.to_string() }
            }
            SearchFailure::TooManyValues(name) => SearchError::Refused {
                reason: format!(
                    "The facet '{name}' has more than {DISTINCT_VALUES_MAX} different values among the matching documents: \
                     add conditions, or choose a field with fewer values."
                ),
            },
            SearchFailure::Stopped => SearchError::Unavailable { engine, reason: "the search was stopped".to_owned() },
        }
    }
}

fn search(generation: &Generation, query: &SearchQuery, stop: &CancellationToken) -> Result<SearchPage, SearchFailure> {
    let searcher = generation.searcher();
    let keys = generation.context.keys.of_resource(&query.resource);
    let collected = searcher
        .search(&documents(&generation.layout, keys, query), &PageCollector::of(query, stop.clone()))
        .unwrap_or_else(|error| Err(CollectError::Index(error)));
    let matches = collected.map_err(|error| match error {
        CollectError::Index(error) => SearchFailure::Sink(generation.unreadable(&error)),
        CollectError::TooManyValues(facet) => SearchFailure::TooManyValues(query.facets[facet].name.clone()),
        CollectError::Stopped => SearchFailure::Stopped,
    })?;
    let facets = matches.facets(query);
    let limit = query.limit as usize;
    let has_more = matches.documents.len() > limit;
    let mut hits = Vec::with_capacity(limit.min(matches.documents.len()));
    for document in matches.documents.iter().take(limit) {
        if stop.is_cancelled() {
            return Err(SearchFailure::Stopped);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::embedded::EmbeddedOptions;
    use millstream_pipeline::sink::generations::Generations;
    use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Outcome};
    use millstream_search::{QueryOptions, conformance};
    use uuid::Uuid;

    #[tokio::test]
    async fn a_search_that_is_stopped_has_no_result() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let model = conformance::model();
        let schools = Arc::clone(model.iter().find(|resource| resource.endpoint == "schools").expect("a type"));
        let store = EmbeddedStore::open(&EmbeddedOptions::new(folder.path()), model).expect("it opens");
        let sink = store.sink(store.live().await.expect("a generation")).expect("a sink");
        let body = r#"{"schoolId":1,"nameOfInstitution":"Alder"}"#.to_owned();
        let key = DocumentKey { uuid: Uuid::from_u128(1), resource_key: schools.key };
        let delivery = Delivery { key, version: 1, content: Content::Document(body.into()), repair: false };
        assert_eq!(sink.put(&[delivery]).await, [Outcome::Done]);
        for parameters in [vec![], vec![("q".to_owned(), "alder".to_owned())]] {
            let options = QueryOptions { limit_default: 10, limit_max: 10 };
            let query = SearchQuery::parse(&schools, &parameters, &options).expect("a valid query");
            let generation = store.folder.live_generation().expect("it opens");
            let stop = CancellationToken::new();
            assert!(search(&generation, &query, &stop).is_ok_and(|page| page.documents.len() == 1));
            stop.cancel();
            assert!(matches!(search(&generation, &query, &stop), Err(SearchFailure::Stopped)));
        }
    }
}
