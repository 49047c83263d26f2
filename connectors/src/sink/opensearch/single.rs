//! A document that no bulk can carry, because its lines would end in the middle of it: written by a request of its own.

use opensearch::http::Method;
use opensearch::http::headers::HeaderMap;

use millstream_pipeline::sink::Content;

use super::bulk::{Line, source};
use super::client::NoAnswer;
use super::cluster::Cluster;
use super::items::Item;

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
    let parameters = [("require_alias", "true"), ("version", &version), ("version_type", version_type)];
    // By path, as the client's own way to write a document takes values only, not bytes.
    let (path, body) = (format!("/{alias}/_doc/{id}"), source(&id, resource_json, json));
    let request = cluster.client.api.send(Method::Put, &path, HeaderMap::new(), Some(&parameters), Some(body), None);
    let answer = cluster.client.read(request).await?;
    Ok(Item::of_answer(answer.status, &answer.body))
}
