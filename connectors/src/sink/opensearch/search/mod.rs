//! Searches, answered from the live generation.
//!
//! Each begins by asking which generation is live, and then asks that one's index by its own name: a swap is seen by the
//! next search, and a type of which the live generation has no document yet has no documents, whatever the other
//! generations hold of it.

mod answer;
mod condition;
mod facet;
mod one;
mod order;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use millstream_pipeline::sink::SinkError;
use millstream_search::{SearchEngine, SearchError, SearchPage, SearchQuery};

use super::cluster::Cluster;
use super::indexes::{OpenSearchIndexes, refresh};
use super::names::DESCRIPTORS;
use super::request::Request;
use super::types::{resource_name, stem};
use super::whose;
use answer::Answer;

/// Looks at which generation is live while it is being swapped and removed, or at an index that is just being made.
const TRIES: usize = 20;
/// Between two looks at an index whose shard does not answer yet.
const SHARD_PAUSE: Duration = Duration::from_millis(50);

/// The field of a path of the body.
fn field_name(path: &str) -> String {
    format!("{}.{path}", super::mapping::DOCUMENT)
}

/// The body of a search request.
fn request(query: &SearchQuery) -> Value {
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
        // One more than asked for shows whether there are more.
        "size": if query.limit == 0 { 0 } else { query.limit.saturating_add(1) },
        "version": true,
        "track_total_hits": false,
        "sort": order::sort(query),
    });
    let counts = facet::aggregations(query);
    if let Some(after) = &query.after {
        let behind = order::behind(query, after);
        if counts.is_empty() {
            filter.push(behind);
        } else {
            // Counts are of all that match, not of those on the pages to come.
            body["post_filter"] = behind;
        }
    }
    body["query"] = json!({ "bool": { "must": must, "filter": filter } });
    if !counts.is_empty() {
        body["aggs"] = Value::Object(counts);
    }
    body
}

impl OpenSearchIndexes {
    async fn answer(&self, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        let cluster = &*self.cluster;
        whose::check(cluster).await.map_err(|error| failed(cluster, error))?;
        let body = request(query);
        let mut live = live(cluster).await?;
        let mut reason = "generations came and went while it was asked".to_owned();
        for _ in 0..TRIES {
            let index = cluster.names.index(live, &stem(&query.resource));
            let request = Request::post(&[&index, "_search"])
                .with("allow_partial_search_results", "false")
                .with("ignore_unavailable", "true")
                .json(&body);
            let answer = cluster.ask(request).await.map_err(|error| failed(cluster, error))?;
            if answer.is_error("search_phase_execution_exception") && answer.status == 503 {
                // It has an index and no shard: for a moment after it was made, or for as long as a node is missing.
                reason = answer.complaint();
                tokio::time::sleep(SHARD_PAUSE).await;
                continue;
            }
            if !answer.is_ok() {
                return Err(failed(cluster, cluster.refused(&answer, "the search failed")));
            }
            let answer = Answer::read(&answer.body).map_err(|reason| broken(cluster, reason))?;
            if answer.has_index() {
                return answer.page(query).map_err(|reason| broken(cluster, reason));
            }
            // There is no such index in this generation, unless the generation itself is gone.
            let now = self::live(cluster).await?;
            if now == live {
                return Ok(facet::empty_page(query));
            }
            live = now;
        }
        Err(SearchError::Unavailable { engine: cluster.describe(), reason })
    }
}

/// The live generation, at this moment.
async fn live(cluster: &Cluster) -> Result<u32, SearchError> {
    let name = cluster.names.live();
    // As the node that is asked knows it: a swap is confirmed when all nodes do, and no other node has to be there.
    let answer = cluster.ask(Request::get(&["_alias", &name]).with("local", "true")).await;
    let answer = answer.map_err(|error| failed(cluster, error))?;
    let none = || SearchError::Unavailable {
        engine: cluster.describe(),
        reason: "it has no indexes yet: they are made when Millstream first delivers to it".to_owned(),
    };
    if answer.status == 404 {
        return Err(none());
    }
    let found: BTreeMap<String, IgnoredAny> =
        cluster.read(answer, "the live generation could not be read").map_err(|error| failed(cluster, error))?;
    let parsed = found.keys().filter_map(|index| cluster.names.parse(index));
    parsed.filter(|(_, stem)| *stem == DESCRIPTORS).map(|(number, _)| number).next().ok_or_else(none)
}

fn failed(cluster: &Cluster, error: SinkError) -> SearchError {
    let engine = cluster.describe();
    match error {
        SinkError::Unavailable { reason, .. } => SearchError::Unavailable { engine, reason },
        SinkError::Unfit { differences, .. } => SearchError::Failed { engine, reason: differences.join("; ") },
        SinkError::Broken { reason, .. } => SearchError::Failed { engine, reason },
    }
}

fn broken(cluster: &Cluster, reason: String) -> SearchError {
    SearchError::Failed { engine: cluster.describe(), reason }
}

impl SearchEngine for OpenSearchIndexes {
    fn describe(&self) -> String {
        self.cluster.describe()
    }

    fn search<'a>(&'a self, query: &'a SearchQuery) -> BoxFuture<'a, Result<SearchPage, SearchError>> {
        self.answer(query).boxed()
    }

    fn refresh(&self) -> BoxFuture<'_, Result<(), SearchError>> {
        async move {
            let cluster = &*self.cluster;
            let live = live(cluster).await?;
            refresh(cluster, live).await.map_err(|error| failed(cluster, error))
        }
        .boxed()
    }
}
