//! What an engine promises, and what an answer is.

use crate::query::{Cursor, SearchQuery};
use crate::value::Value;
use bytes::Bytes;
use futures::future::BoxFuture;
use uuid::Uuid;

/// Answers searches over a copy of all documents.
///
/// The copy follows the documents with some delay; every answer is that of one moment of the copy.
pub trait SearchEngine: Send + Sync + 'static {
    /// What it is and where, without secrets, for messages.
    fn describe(&self) -> String;

    /// Answers a query. Bodies are whole: [`search`] cuts out what was asked for. A type of which nothing was ever
    /// delivered has no documents: that is no error.
    fn search<'a>(&'a self, query: &'a SearchQuery) -> BoxFuture<'a, Result<SearchPage, SearchError>>;

    /// After this, a search finds everything whose delivery was answered with "done" before the call.
    fn refresh(&self) -> BoxFuture<'_, Result<(), SearchError>>;
}

/// Answers a query, with the members of each document that were asked for.
pub async fn search(engine: &dyn SearchEngine, query: &SearchQuery) -> Result<SearchPage, SearchError> {
    let mut page = engine.search(query).await?;
    if let Some(projection) = &query.projection {
        for hit in &mut page.documents {
            hit.body = projection.apply(&hit.body).map_err(|error| SearchError::Failed {
                engine: engine.describe(),
                reason: format!("it holds a document {} that is no JSON: {error}", hit.uuid),
            })?;
        }
    }
    Ok(page)
}

/// A page of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchPage {
    /// The documents, in the order asked for.
    pub documents: Vec<Hit>,
    /// How many documents match in all, exactly; where it was asked for.
    pub total: Option<u64>,
    /// One for each facet of the query, in its order.
    pub facets: Vec<FacetValues>,
    /// Where the next page begins; `None` behind the last one, and for an order by relevance.
    pub next: Option<Cursor>,
}

/// A document that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its id.
    pub uuid: Uuid,
    /// The version that the copy holds.
    pub version: i64,
    /// Its body, as a GET of this version gives it.
    pub body: Bytes,
}

/// The most frequent values of one field among the documents that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacetValues {
    /// The name that the client used.
    pub name: String,
    /// Most frequent first; among equals the smaller value.
    pub values: Vec<FacetCount>,
}

/// A value and the documents that have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacetCount {
    /// The value, spelled as in the bodies.
    pub value: Value,
    /// How many documents have it, each counted once however often it has it.
    pub documents: u64,
}

/// Why a search was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// It cannot be reached or did not answer in time: try again.
    #[error("{engine} cannot be reached: {reason}")]
    Unavailable {
        /// [`SearchEngine::describe`].
        engine: String,
        /// What happened.
        reason: String,
    },
    /// It failed in a way that trying again does not mend.
    #[error("{engine} failed: {reason}")]
    Failed {
        /// [`SearchEngine::describe`].
        engine: String,
        /// What happened, and what to do where that is known.
        reason: String,
    },
}
