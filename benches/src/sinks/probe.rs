//! Probes that check whether an edit has arrived: in the topic, in OpenSearch (by id and by search), and in the
//! embedded index (by search).

use super::installation::Installation;
use super::topic::TopicReader;
use crate::connection::Connection;
use crate::failure::Failure;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Prefix of the text of an edit; its number follows.
pub(super) const MARK: &str = "Bench";

/// An expected edit: a document with this version or a later one.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    pub(super) uuid: Uuid,
    pub(super) version: i64,
    /// Alias of the index in OpenSearch.
    pub(super) alias: String,
    /// Number of the edit; its text ends with the number.
    pub(super) number: usize,
    /// Time at which the writer got the response.
    pub(super) answered: Instant,
}

/// One way to check for edits.
pub(super) enum Probe {
    /// Checks the records that a consumer received.
    Topic(TopicReader),
    /// Reads documents by id, which is realtime in OpenSearch.
    ById(SearchClient),
    /// Searches in OpenSearch, which shows the state of the last refresh.
    BySearch(SearchClient),
    /// Searches through `/search` of the process and checks the text of the edit: connection, path, member of the text.
    Embedded(Box<Connection>, String, &'static str),
}

/// A client of OpenSearch.
pub(super) struct SearchClient {
    client: reqwest::Client,
    url: String,
}

impl SearchClient {
    pub(super) fn new(installation: &Installation) -> Self {
        Self {
            client: millstream_testkit::http_client().build().expect("an HTTP client"),
            url: installation.opensearch.url(),
        }
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.client.post(format!("{}/{path}", self.url)).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await?.error_for_status()?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }

    async fn versions_by_id(&self, pending: &[Edit]) -> Result<HashMap<Uuid, i64>, Failure> {
        let documents = pending.iter().map(|edit| json!({"_index": edit.alias, "_id": edit.uuid, "_source": false}));
        let body = json!({"docs": documents.collect::<Vec<_>>()});
        versions(&self.post("_mget?filter_path=docs._id,docs._version", &body).await?["docs"])
    }

    async fn versions_by_search(&self, pending: &[Edit]) -> Result<HashMap<Uuid, i64>, Failure> {
        let mut aliases: Vec<&str> = pending.iter().map(|edit| edit.alias.as_str()).collect();
        aliases.sort_unstable();
        aliases.dedup();
        let ids: Vec<Uuid> = pending.iter().map(|edit| edit.uuid).collect();
        let body = json!({"size": ids.len(), "version": true, "_source": false, "query": {"ids": {"values": ids}}});
        let path = format!("{}/_search?filter_path=hits.hits._id,hits.hits._version", aliases.join(","));
        versions(&self.post(&path, &body).await?["hits"]["hits"])
    }
}

/// Returns the versions in a list of hits, by id.
fn versions(found: &Value) -> Result<HashMap<Uuid, i64>, Failure> {
    let each = found.as_array().map_or(&[] as &[Value], Vec::as_slice).iter();
    let known = each.filter_map(|one| Some((one["_id"].as_str()?, one["_version"].as_i64()?)));
    known.map(|(id, version)| Ok((Uuid::parse_str(id)?, version))).collect()
}

impl Probe {
    /// Returns the pause between two polls. Polling takes processor time from the measured system.
    pub(super) fn pause(&self) -> Duration {
        match self {
            Self::Topic(_) | Self::Embedded(..) => Duration::from_millis(1),
            Self::ById(_) => Duration::from_millis(3),
            Self::BySearch(_) => Duration::from_millis(20),
        }
    }

    /// Polls once. Returns for each pending edit the time at which it was first seen; `None` if it is not visible.
    pub(super) async fn poll(&mut self, pending: &[Edit]) -> Result<Vec<Option<Instant>>, Failure> {
        let found = match self {
            Self::Topic(reader) => {
                return Ok(pending.iter().map(|edit| reader.arrival(edit.uuid, edit.version)).collect());
            }
            Self::Embedded(connection, path, member) => return by_text(connection, path, member, pending).await,
            Self::ById(search) => search.versions_by_id(pending).await?,
            Self::BySearch(search) => search.versions_by_search(pending).await?,
        };
        let now = Instant::now();
        let is_visible = |edit: &Edit| found.get(&edit.uuid).is_some_and(|version| *version >= edit.version);
        Ok(pending.iter().map(|edit| is_visible(edit).then_some(now)).collect())
    }
}

/// Checks the text of each document. A later edit of the same document counts as well.
async fn by_text(
    connection: &mut Connection,
    path: &str,
    member: &str,
    pending: &[Edit],
) -> Result<Vec<Option<Instant>>, Failure> {
    let mut seen = Vec::with_capacity(pending.len());
    for edit in pending {
        let page = connection.json(&format!("{path}?id={}&fields={member}", edit.uuid)).await?;
        let text = page["documents"][0][member].as_str().unwrap_or_default();
        let number = text.strip_prefix(MARK).and_then(|number| number.parse::<usize>().ok());
        seen.push(number.is_some_and(|number| number >= edit.number).then(Instant::now));
    }
    Ok(seen)
}
