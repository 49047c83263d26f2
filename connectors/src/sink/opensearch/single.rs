//! A document that no bulk can carry, because its lines would end in the middle of it: written by a request of its own.

use millstream_pipeline::sink::Content;

use super::bulk::{Line, source};
use super::client::NoAnswer;
use super::cluster::Cluster;
use super::items::Item;
use super::request::Request;

/// Writes one document, and answers as a bulk does for an item. A delete has no lines and never comes here.
pub(super) async fn put(cluster: &Cluster, line: Line<'_>) -> Result<Item, NoAnswer> {
    let Line { delivery, alias, resource_json } = line;
    let id = delivery.key.uuid.hyphenated().to_string();
    let json: &[u8] = match &delivery.content {
        Content::Document(json) => json,
        Content::Deleted => &[],
    };
    let version_type = if delivery.repair { "external_gte" } else { "external" };
    let version = delivery.version.to_string();
    let request = Request::put(&[alias, "_doc", &id])
        .with("require_alias", "true")
        .with("version", version)
        .with("version_type", version_type)
        .bytes(source(&id, resource_json, json));
    let answer = cluster.client.send(request).await?;
    Ok(Item::of_answer(answer.status, &answer.body))
}
