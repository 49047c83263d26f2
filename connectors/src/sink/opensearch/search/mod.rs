//! The search engine: searches in the live generation.
//!
//! Each search first resolves the live generation and then searches that generation's index by name. A swap therefore
//! takes effect with the next search, and documents that only other generations contain never match.

mod comparison;
mod condition;
mod facet;
mod order;
mod response;
mod single_value;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use millstream_pipeline::sink::SinkError;
use millstream_search::{SearchEngine, SearchError, SearchPage, SearchQuery};

use super::client::InvalidResponse;
use super::cluster::Cluster;
use super::document_types::{resource_name, stem};
use super::errors::SEARCH_FAILED;
use super::generation::refresh;
use super::indexes::OpenSearchIndexes;
use super::names::DESCRIPTORS;
use super::ownership;
use super::request::Request;
use response::SearchResponse;

/// Maximum number of attempts of a search, while generations are swapped or the index has no available shard.
const SEARCH_ATTEMPTS: usize = 20;
/// Pause before a retry on an index whose shard is not available yet.
const SHARD_PAUSE: Duration = Duration::from_millis(50);

/// Limit of a response. A page that exceeds it is read again with half as many documents, and is shorter than its limit.
const PAGE_BYTES_MAX: usize = 16 << 20;
const TOO_LARGE: &str = "the page has more than 16 MiB: ask for fewer documents, or fewer facet values";

/// Returns the body of a search request for up to `limit` documents.
fn request(query: &SearchQuery, limit: u32) -> Value {
    let resource = &query.resource;
    let mut must = condition::of_terms(&query.terms);
    let mut filter = condition::of_group(resource, &query.conditions);
    if resource.is_descriptor {
        filter.push(json!({ "term": { "resource": resource_name(resource) } }));
    }
    if !query.is_by_relevance() {
        filter.append(&mut must);
    }
    let mut body = json!({
        // One document more than the limit shows whether there is another page.
        "size": if limit == 0 { 0 } else { limit.saturating_add(1) },
        "version": true,
        "track_total_hits": false,
        "sort": order::sort(query),
    });
    let counts = facet::aggregations(query);
    if let Some(after) = &query.after {
        let continuation = order::after_key(query, after);
        if counts.is_empty() {
            filter.push(continuation);
        } else {
            // The filter must not reduce the counts, which cover all pages.
            body["post_filter"] = continuation;
        }
    }
    body["query"] = json!({ "bool": { "must": must, "filter": filter } });
    if !counts.is_empty() {
        body["aggs"] = Value::Object(counts);
    }
    body
}

impl OpenSearchIndexes {
    async fn run_search(&self, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        let cluster = &*self.cluster;
        ownership::check(cluster).await.map_err(|error| failed(cluster, error))?;
        let mut limit = query.limit;
        let mut live = live_generation(cluster).await?;
        let mut reason = "generations were swapped and removed during the search".to_owned();
        for _ in 0..SEARCH_ATTEMPTS {
            let index = cluster.names.index(live, &stem(&query.resource));
            let request = Request::post(&[&index, "_search"])
                .with("allow_partial_search_results", "false")
                .with("ignore_unavailable", "true")
                .json(&request(query, limit));
            let response =
                cluster.send_within(request, PAGE_BYTES_MAX).await.map_err(|error| failed(cluster, error))?;
            let Some(response) = response else {
                limit = shorter(query, limit).ok_or_else(|| SearchError::Refused { reason: TOO_LARGE.to_owned() })?;
                "its page was too large".clone_into(&mut reason);
                continue;
            };
            if response.status == 503 && response.is_error(SEARCH_FAILED) {
                // The index has no available shard: briefly after its creation, or while a node is down.
                reason = response.error_summary();
                tokio::time::sleep(SHARD_PAUSE).await;
                continue;
            }
            if !response.is_ok() {
                return Err(failed(cluster, cluster.refused(&response, "the search failed")));
            }
            let response = SearchResponse::read(&response.body).map_err(|error| invalid(cluster, &error))?;
            if response.has_index() {
                return response.page(query, limit).map_err(|error| invalid(cluster, &error));
            }
            // The generation has no such index, unless the generation itself was removed.
            let now = live_generation(cluster).await?;
            if now == live {
                return Ok(facet::empty_page(query));
            }
            live = now;
        }
        Err(SearchError::Unavailable { engine: cluster.describe(), reason })
    }
}

/// Returns a smaller limit for a page that was too large; `None` if there is none, or if the rest could not be read with a
/// next page.
fn shorter(query: &SearchQuery, limit: u32) -> Option<u32> {
    (limit > 1 && !query.is_by_relevance()).then_some(limit / 2)
}

/// Returns the number of the live generation.
async fn live_generation(cluster: &Cluster) -> Result<u32, SearchError> {
    let name = cluster.names.live();
    // The node's local state suffices: a swap is confirmed only after all nodes have applied it.
    let response = cluster.send(Request::get(&["_alias", &name]).with("local", "true")).await;
    let response = response.map_err(|error| failed(cluster, error))?;
    let none = || SearchError::Unavailable {
        engine: cluster.describe(),
        reason: "it has no indexes yet: Millstream creates them with the first delivery".to_owned(),
    };
    if response.status == 404 {
        return Err(none());
    }
    let found: BTreeMap<String, IgnoredAny> =
        cluster.parse(response, "cannot read the live generation").map_err(|error| failed(cluster, error))?;
    let parsed = found.keys().filter_map(|index| cluster.names.parse(index));
    parsed.filter(|(_, stem)| *stem == DESCRIPTORS).map(|(number, _)| number).next().ok_or_else(none)
}

fn failed(cluster: &Cluster, error: SinkError) -> SearchError {
    let engine = cluster.describe();
    match error {
        SinkError::Unavailable { reason, .. } => SearchError::Unavailable { engine, reason },
        SinkError::Incompatible { differences, .. } => SearchError::Failed { engine, reason: differences.join("; ") },
        SinkError::Broken { reason, .. } => SearchError::Failed { engine, reason },
    }
}

fn invalid(cluster: &Cluster, error: &InvalidResponse) -> SearchError {
    SearchError::Failed { engine: cluster.describe(), reason: error.to_string() }
}

impl SearchEngine for OpenSearchIndexes {
    fn describe(&self) -> String {
        self.cluster.describe()
    }

    fn search<'a>(&'a self, query: &'a SearchQuery) -> BoxFuture<'a, Result<SearchPage, SearchError>> {
        self.run_search(query).boxed()
    }

    fn refresh(&self) -> BoxFuture<'_, Result<(), SearchError>> {
        async move {
            let cluster = &*self.cluster;
            let live = live_generation(cluster).await?;
            refresh(cluster, live).await.map_err(|error| failed(cluster, error))
        }
        .boxed()
    }
}
