//! The limit of the OpenSearch sink: the same bulks, made before, sent by a client that only looks whether all went well.

use crate::setup::Failure;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use millstream_pipeline::sink::{Content, Delivery};
use millstream_search::SearchModel;
use std::fmt::Write;
use std::time::Instant;

/// Another generation of the same indexes.
pub(super) struct Bare {
    client: reqwest::Client,
    url: String,
    prefix: String,
    generation: u32,
}

/// The lines of bulks, with how many documents each has.
pub(super) type Ready = Vec<(usize, Bytes)>;

impl Bare {
    pub(super) fn new(url: &str, prefix: &str, generation: u32) -> Self {
        let (url, prefix) = (format!("{url}/_bulk?require_alias=true"), prefix.to_owned());
        Self { client: reqwest::Client::new(), url, prefix, generation }
    }

    /// Sends bulks, so many at a time. Documents a second.
    pub(super) async fn send(&self, ready: Ready, in_flight: usize) -> Result<f64, Failure> {
        let documents: usize = ready.iter().map(|(count, _)| count).sum();
        let started = Instant::now();
        let posts = ready.into_iter().map(|(_, lines)| async {
            let request = self.client.post(&self.url).header("content-type", "application/x-ndjson");
            let answer = request.body(lines).send().await?.error_for_status()?.text().await?;
            if answer.contains("\"errors\":false") {
                Ok(())
            } else {
                Err(Failure::from(format!("a bulk failed: {}", answer.chars().take(2_000).collect::<String>())))
            }
        });
        stream::iter(posts).buffer_unordered(in_flight).try_collect::<()>().await?;
        Ok(documents as f64 / started.elapsed().as_secs_f64())
    }
}

/// The bulks that the sink would make of these batches.
pub(super) fn ready(bare: &Bare, model: &SearchModel, batches: &[&[Delivery]]) -> Result<Ready, Failure> {
    batches.iter().map(|batch| Ok((batch.len(), lines(bare, model, batch)?))).collect()
}

fn lines(bare: &Bare, model: &SearchModel, batch: &[Delivery]) -> Result<Bytes, Failure> {
    let mut text = String::new();
    for delivery in batch {
        let resource = model.by_key(delivery.key.resource_key).ok_or("a delivery of an unknown type")?;
        let Content::Document(json) = &delivery.content else { return Err("the cache holds no deletes".into()) };
        let (json, id, version) = (std::str::from_utf8(json)?, delivery.key.uuid, delivery.version);
        let (prefix, generation) = (&bare.prefix, bare.generation);
        let (project, endpoint) = (&resource.project_endpoint, &resource.endpoint);
        let stem = super::stem(resource);
        writeln!(
            text,
            r#"{{"index":{{"_index":"{prefix}.write.g{generation}.{stem}","_id":"{id}","version":{version},"version_type":"external"}}}}"#
        )?;
        writeln!(text, r#"{{"id":"{id}","resource":"{project}/{endpoint}","document":{json}}}"#)?;
    }
    Ok(text.into())
}
