//! Baseline for the OpenSearch sink: a plain client sends the same bulk requests, prepared in advance, and checks only
//! for errors.

use super::installation::index_stem;
use crate::failure::Failure;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use millstream_pipeline::sink::{Content, Delivery};
use millstream_search::SearchModel;
use std::fmt::Write;
use std::time::Instant;

/// A plain client that writes to another generation of the same indexes.
pub(super) struct OpenSearchBaseline {
    client: reqwest::Client,
    url: String,
    prefix: String,
    generation: u32,
}

/// Prepared bulk requests, each with its number of documents.
pub(super) type Bulks = Vec<(usize, Bytes)>;

impl OpenSearchBaseline {
    pub(super) fn new(url: &str, prefix: &str, generation: u32) -> Self {
        let (url, prefix) = (format!("{url}/_bulk?require_alias=true"), prefix.to_owned());
        Self { client: millstream_testkit::http_client().build().expect("an HTTP client"), url, prefix, generation }
    }

    /// Sends bulk requests, up to `in_flight` at a time, and returns the documents per second.
    pub(super) async fn send(&self, bulks: Bulks, in_flight: usize) -> Result<f64, Failure> {
        let documents: usize = bulks.iter().map(|(count, _)| count).sum();
        let started = Instant::now();
        let posts = bulks.into_iter().map(|(_, lines)| async {
            let request = self.client.post(&self.url).header("content-type", "application/x-ndjson");
            let text = request.body(lines).send().await?.error_for_status()?.text().await?;
            if text.contains("\"errors\":false") {
                Ok(())
            } else {
                Err(Failure::from(format!("a bulk request failed: {}", text.chars().take(2_000).collect::<String>())))
            }
        });
        stream::iter(posts).buffer_unordered(in_flight).try_collect::<()>().await?;
        Ok(documents as f64 / started.elapsed().as_secs_f64())
    }
}

/// Prepares the bulk requests that the sink would send for these batches.
pub(super) fn bulks(
    baseline: &OpenSearchBaseline,
    model: &SearchModel,
    batches: &[&[Delivery]],
) -> Result<Bulks, Failure> {
    batches.iter().map(|batch| Ok((batch.len(), lines(baseline, model, batch)?))).collect()
}

fn lines(baseline: &OpenSearchBaseline, model: &SearchModel, batch: &[Delivery]) -> Result<Bytes, Failure> {
    let mut text = String::new();
    for delivery in batch {
        let resource = model.by_key(delivery.key.resource_key).ok_or("a delivery of an unknown type")?;
        let Content::Document(json) = &delivery.content else { return Err("a batch contains a delete".into()) };
        let (json, id, version) = (std::str::from_utf8(json)?, delivery.key.uuid, delivery.version);
        let (prefix, generation) = (&baseline.prefix, baseline.generation);
        let (project, endpoint) = (&resource.project_endpoint, &resource.endpoint);
        let stem = index_stem(resource);
        writeln!(
            text,
            r#"{{"index":{{"_index":"{prefix}.write.g{generation}.{stem}","_id":"{id}","version":{version},"version_type":"external"}}}}"#
        )?;
        writeln!(text, r#"{{"id":"{id}","resource":"{project}/{endpoint}","document":{json}}}"#)?;
    }
    Ok(text.into())
}
