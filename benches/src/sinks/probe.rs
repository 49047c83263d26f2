//! Looking whether an edit has arrived: in the topic, in OpenSearch by id and by search, in the embedded index by search.

use super::place::Place;
use super::topic::TopicReader;
use crate::connection::Connection;
use crate::setup::Failure;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What the text of an edit begins with; its number follows.
pub(super) const MARK: &str = "Bench";

/// What is waited for: a document at a version, or a later one.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    pub(super) uuid: Uuid,
    pub(super) version: i64,
    /// The alias of its index in OpenSearch.
    pub(super) alias: String,
    /// Its number, which its text ends with.
    pub(super) number: usize,
    /// When the writer had its answer.
    pub(super) answered: Instant,
}

/// One way to look.
pub(super) enum Probe {
    /// A consumer's log.
    Topic(TopicReader),
    /// Reading by id, which is realtime.
    ById(Search),
    /// A search, which shows what was there at the last refresh.
    BySearch(Search),
    /// `/search` of the process, by the text of the edit: path of the search, and the member.
    Embedded(Box<Connection>, String, &'static str),
}

/// Requests to OpenSearch.
pub(super) struct Search {
    client: reqwest::Client,
    url: String,
}

impl Search {
    pub(super) fn new(place: &Place) -> Self {
        Self { client: millstream_testkit::http_client().build().expect("an HTTP client"), url: place.opensearch.url() }
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

fn versions(found: &Value) -> Result<HashMap<Uuid, i64>, Failure> {
    let each = found.as_array().map_or(&[] as &[Value], Vec::as_slice).iter();
    let known = each.filter_map(|one| Some((one["_id"].as_str()?, one["_version"].as_i64()?)));
    known.map(|(id, version)| Ok((Uuid::parse_str(id)?, version))).collect()
}

impl Probe {
    /// Pause between two looks: looking costs what is looked at.
    pub(super) fn pause(&self) -> Duration {
        match self {
            Self::Topic(_) | Self::Embedded(..) => Duration::from_millis(1),
            Self::ById(_) => Duration::from_millis(3),
            Self::BySearch(_) => Duration::from_millis(20),
        }
    }

    /// When each was seen first, for those that are visible now.
    pub(super) async fn look(&mut self, pending: &[Edit]) -> Result<Vec<Option<Instant>>, Failure> {
        let found = match self {
            Self::Topic(reader) => {
                return Ok(pending.iter().map(|edit| reader.seen(edit.uuid, edit.version)).collect());
            }
            Self::Embedded(connection, path, member) => return by_text(connection, path, member, pending).await,
            Self::ById(search) => search.versions_by_id(pending).await?,
            Self::BySearch(search) => search.versions_by_search(pending).await?,
        };
        let now = Instant::now();
        let is_there = |edit: &Edit| found.get(&edit.uuid).is_some_and(|version| *version >= edit.version);
        Ok(pending.iter().map(|edit| is_there(edit).then_some(now)).collect())
    }
}

/// A later edit of the same document may have taken the place of the one that is looked for.
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
