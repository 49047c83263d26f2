//! The trait of a search engine, and the pages that it returns.

use crate::hit::Hit;
use crate::query::{Cursor, SearchQuery};
use crate::value::Value;
use futures::future::BoxFuture;

/// Searches a copy of all documents.
///
/// The copy lags behind the database; every result reflects one state of the copy.
pub trait SearchEngine: Send + Sync + 'static {
    /// Returns a description of the engine and its location for messages, without secrets.
    fn describe(&self) -> String;

    /// Returns the page for a query. Bodies are complete; [`search`] applies the projection. A resource type without
    /// any delivery yields an empty page, not an error. Dropping the future stops the search.
    fn search<'a>(&'a self, query: &'a SearchQuery) -> BoxFuture<'a, Result<SearchPage, SearchError>>;

    /// Makes every delivery that was confirmed before the call visible to later searches.
    fn refresh(&self) -> BoxFuture<'_, Result<(), SearchError>>;
}

/// Returns the page for a query, with the requested members of each document.
pub async fn search(engine: &dyn SearchEngine, query: &SearchQuery) -> Result<SearchPage, SearchError> {
    project(engine, query, engine.search(query).await?)
}

/// Reduces the documents of an engine's page to the requested members. Takes time in proportion to their bytes.
pub fn project(
    engine: &dyn SearchEngine,
    query: &SearchQuery,
    mut page: SearchPage,
) -> Result<SearchPage, SearchError> {
    if let Some(projection) = &query.projection {
        for hit in &mut page.documents {
            hit.body = projection.apply(&hit.body).map_err(|error| SearchError::Failed {
                engine: engine.describe(),
                reason: format!("its document {} is not JSON: {error}", hit.uuid),
            })?;
        }
    }
    Ok(page)
}

/// A page of results.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchPage {
    /// The documents, in the requested order.
    pub documents: Vec<Hit>,
    /// The exact number of matching documents, if requested.
    pub total: Option<u64>,
    /// One entry per facet of the query, in the order of the query.
    pub facets: Vec<FacetValues>,
    /// The start of the next page; `None` on the last page, and for an order by relevance.
    pub next: Option<Cursor>,
}

/// The most frequent values of one field among the matching documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacetValues {
    /// The name that the client used.
    pub name: String,
    /// The values, most frequent first; equally frequent ones in ascending order.
    pub values: Vec<FacetCount>,
}

/// A value and the number of documents that have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacetCount {
    /// The value, spelled as in the bodies.
    pub value: Value,
    /// Number of documents with the value. A document that has it several times counts once.
    pub documents: u64,
}

/// Error of a search.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// The engine is unreachable or did not respond in time: try again.
    #[error("{engine} cannot be reached: {reason}")]
    Unavailable {
        /// The engine, as [`SearchEngine::describe`] returns it.
        engine: String,
        /// The failure.
        reason: String,
    },
    /// The engine does not run this query: another one is needed.
    #[error("the query is refused: {reason}")]
    Refused {
        /// The cause, and how to change the query, for the client.
        reason: String,
    },
    /// The search failed in a way that a retry does not fix.
    #[error("{engine} failed: {reason}")]
    Failed {
        /// The engine, as [`SearchEngine::describe`] returns it.
        engine: String,
        /// The failure, and the remedy if it is known.
        reason: String,
    },
}
