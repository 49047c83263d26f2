//! One generation as a sink: encodes deliveries into bulks and maps responses to outcomes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Limits, Outcome, RetryCause, Scan, Sink, SinkError};

use super::aliases::Aliases;
use super::bulk::{BulkLine, has_line_break, lines, source};
use super::client::{BulkResponse, RequestError};
use super::cluster::Cluster;
use super::create_index::{create_resource_index, no_generation};
use super::document_types::DocumentType;
use super::errors::{BulkStatus, ItemStatus, classify_bulk, classify_item};
use super::fetch;
use super::generation::outdated;
use super::items::{self, BulkItem};
use super::ownership;
use super::request::Request;
use super::scan::GenerationScan;
use super::template;

const BATCH_DOCUMENTS_MAX: usize = 1_000;
/// OpenSearch recommends 5 to 15 MB.
const BATCH_BYTES_MAX: usize = 5 << 20;
const IN_FLIGHT_MAX: usize = 4;
/// Guaranteed retention of the versions of deletes. The indexes are set to a day, which covers every delivery in
/// flight, but a node that restarts loses the versions of deleted documents, so callers must not depend on them.
const DELETE_MEMORY: Duration = Duration::ZERO;
/// Maximum execution time of a request on the node after its wait, which is at most half of the answer timeout.
const EXECUTION_MAX: Duration = Duration::from_secs(30);

/// A document of this size may be too large for a limit on requests.
const LARGE_BYTES: usize = 64 << 10;

/// One generation of the indexes.
pub(super) struct OpenSearchSink {
    cluster: Arc<Cluster>,
    number: u32,
    /// Write aliases of the indexes, by stem.
    aliases: BTreeMap<String, String>,
}

/// Deliveries of a `put`, by index.
type Part = Vec<usize>;

/// The state of one `put`.
struct PutState<'a> {
    deliveries: &'a [Delivery],
    outcomes: Vec<Option<Outcome>>,
    /// Texts to be indexed beside those of a delivery.
    texts: BTreeMap<usize, String>,
    /// Parts still to be sent; the last one is next.
    parts: Vec<Part>,
    /// Created indexes, so that none is created twice.
    created: BTreeSet<String>,
    /// Deliveries that were refused with 413 when they were alone.
    too_large: Vec<(usize, String)>,
}

impl OpenSearchSink {
    pub(super) fn new(cluster: Arc<Cluster>, number: u32) -> Self {
        let aliases = cluster.types.stems().map(|stem| (stem.to_owned(), cluster.names.write(number, stem))).collect();
        Self { cluster, number, aliases }
    }

    async fn check(&self) -> Result<(), SinkError> {
        let cluster = &*self.cluster;
        cluster.check_version().await?;
        template::ensure(cluster).await?;
        if !Aliases::fetch(cluster).await?.generations(cluster).contains(&self.number) {
            return Err(no_generation(cluster, self.number));
        }
        template::check_settings(cluster, self.number).await?;
        let outdated = outdated(cluster, self.number).await?;
        if !outdated.is_empty() {
            // The indexes still take documents, and find them by the fields that they contain.
            tracing::warn!(
                generation = self.number,
                differences = outdated.join("; "),
                "the mappings of these indexes are out of date: searches do not find new fields; build a new generation (millstream index build)"
            );
        }
        Ok(())
    }

    async fn deliver(&self, deliveries: &[Delivery]) -> Vec<Outcome> {
        let mut put = PutState {
            deliveries,
            outcomes: vec![None; deliveries.len()],
            texts: self.composed_texts(deliveries),
            parts: Vec::new(),
            created: BTreeSet::new(),
            too_large: Vec::new(),
        };
        self.partition(&mut put);
        while let Some(part) = put.parts.pop() {
            if part.is_empty() {
                continue;
            }
            let sent = match part[..] {
                [at] if has_line_break(&deliveries[at]) => self.send_alone(&mut put, at).await,
                _ => self.send(&mut put, &part).await,
            };
            match sent {
                Ok(()) => {}
                Err(RequestError::Unreachable(reason)) => {
                    put.set(&part, &Outcome::retry(RetryCause::Unavailable, reason));
                }
                Err(RequestError::Lost(reason)) => put.set(&part, &Outcome::retry(RetryCause::Unanswered, reason)),
            }
        }
        put.judge_too_large();
        let missing = || Outcome::retry(RetryCause::Failed, "the sink has no outcome for it");
        put.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(missing)).collect()
    }

    /// Splits the deliveries into one bulk, single requests, and rejections.
    fn partition(&self, put: &mut PutState<'_>) {
        let mut together = Vec::with_capacity(put.deliveries.len());
        for (at, delivery) in put.deliveries.iter().enumerate() {
            if self.type_of(delivery).is_none() {
                let reason = format!("the schema has no resource with the key {}", delivery.key.resource_key);
                put.outcomes[at] = Some(Outcome::Rejected { reason });
            } else if has_line_break(delivery) {
                put.parts.push(vec![at]);
            } else {
                together.push(at);
            }
        }
        put.parts.push(together);
    }

    async fn send(&self, put: &mut PutState<'_>, part: &Part) -> Result<(), RequestError> {
        let all: Vec<BulkLine<'_>> = part.iter().filter_map(|at| self.line(put, *at)).collect();
        let response = self.cluster.client.bulk(lines(&all)).await?;
        self.classify(put, part, &response).await;
        Ok(())
    }

    async fn send_alone(&self, put: &mut PutState<'_>, at: usize) -> Result<(), RequestError> {
        if let Some(line) = self.line(put, at) {
            let item = put_alone(&self.cluster, line).await?;
            self.classify_items(put, &[at], &[item]).await;
        }
        Ok(())
    }

    fn type_of(&self, delivery: &Delivery) -> Option<&DocumentType> {
        self.cluster.types.get(delivery.key.resource_key)
    }

    /// Returns the line of a delivery; `None` only for an unknown resource, which `partition` rejects.
    fn line<'a>(&'a self, put: &'a PutState<'_>, at: usize) -> Option<BulkLine<'a>> {
        let delivery = put.deliveries.get(at)?;
        let ty = self.type_of(delivery)?;
        let texts = put.texts.get(&at).map(String::as_str);
        Some(BulkLine { delivery, alias: self.aliases.get(&ty.stem)?, resource_json: &ty.resource_json, texts })
    }

    fn composed_texts(&self, deliveries: &[Delivery]) -> BTreeMap<usize, String> {
        let texts = deliveries.iter().enumerate().filter_map(|(at, delivery)| match &delivery.content {
            Content::Document(json) => Some((at, self.type_of(delivery)?.composed_texts(json)?)),
            Content::Deleted => None,
        });
        texts.collect()
    }

    async fn classify(&self, put: &mut PutState<'_>, part: &[usize], response: &BulkResponse) {
        match classify_bulk(response) {
            BulkStatus::ByItem => {
                let (items, error) = items::read(&response.body);
                if let Some(rest) = part.get(items.len()..).filter(|rest| !rest.is_empty()) {
                    let why = response.truncated.clone().or(error).unwrap_or_else(|| "it has too few items".to_owned());
                    let reason = format!("the response broke off after {} of {} items: {why}", items.len(), part.len());
                    put.set(rest, &Outcome::retry(RetryCause::Unanswered, reason));
                }
                self.classify_items(put, part, &items).await;
            }
            BulkStatus::All(outcome) => put.set(part, &outcome),
            BulkStatus::TooLarge(reason) if part.len() == 1 => put.too_large.push((part[0], reason)),
            BulkStatus::Refused(reason) if part.len() == 1 => put.set(part, &Outcome::Rejected { reason }),
            BulkStatus::Refused(_) | BulkStatus::TooLarge(_) => {
                let (first, second) = part.split_at(part.len() / 2);
                put.parts.extend([second.to_vec(), first.to_vec()]);
            }
        }
    }

    /// Sets the outcomes of items.
    async fn classify_items(&self, put: &mut PutState<'_>, part: &[usize], items: &[BulkItem]) {
        let mut without_index = Part::new();
        for (at, item) in part.iter().zip(items) {
            match classify_item(item) {
                ItemStatus::Final(outcome) => put.outcomes[*at] = Some(outcome),
                ItemStatus::NoIndex => without_index.push(*at),
                ItemStatus::TooLarge(reason) if part.len() == 1 => put.too_large.push((*at, reason)),
                ItemStatus::TooLarge(_) => put.parts.push(vec![*at]),
            }
        }
        let again = self.create_indexes(put, without_index).await;
        put.parts.push(again);
    }

    /// Creates the missing indexes, each at most once per put. Returns the deliveries to send again.
    async fn create_indexes(&self, put: &mut PutState<'_>, part: Part) -> Part {
        let mut by_stem: BTreeMap<&str, Part> = BTreeMap::new();
        for at in part {
            if let Some(ty) = self.type_of(&put.deliveries[at]) {
                by_stem.entry(&ty.stem).or_default().push(at);
            }
        }
        let mut again = Part::new();
        for (stem, part) in by_stem {
            let result = if put.created.insert(stem.to_owned()) {
                create_resource_index(&self.cluster, self.number, stem).await.map_err(|error| error.to_string())
            } else {
                Err("its index disappeared after its creation".to_owned())
            };
            match result {
                Ok(()) => again.extend(part),
                Err(reason) => put.set(&part, &Outcome::retry(RetryCause::Unavailable, reason)),
            }
        }
        again
    }
}

impl PutState<'_> {
    /// Decides about the documents that were refused with 413 when they were alone. It is their size if they are large, or
    /// if the cluster accepts others; otherwise a service in front of it refuses everything.
    fn judge_too_large(&mut self) {
        let accepts_others =
            self.outcomes.iter().any(|outcome| matches!(outcome, Some(Outcome::Done | Outcome::Superseded)));
        for (at, reason) in std::mem::take(&mut self.too_large) {
            let is_large = match &self.deliveries[at].content {
                Content::Document(json) => json.len() >= LARGE_BYTES,
                Content::Deleted => false,
            };
            self.outcomes[at] = Some(match accepts_others || is_large {
                true => Outcome::Rejected { reason },
                false => Outcome::retry(RetryCause::Throttled, reason),
            });
        }
    }

    fn set(&mut self, part: &[usize], outcome: &Outcome) {
        for at in part {
            self.outcomes[*at] = Some(outcome.clone());
        }
    }
}

/// Writes one document with its own request: a bulk cannot carry one with a line break. Never called for deletes.
async fn put_alone(cluster: &Cluster, line: BulkLine<'_>) -> Result<BulkItem, RequestError> {
    let BulkLine { delivery, alias, .. } = line;
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
        .bytes(source(&id, &line, json));
    let response = cluster.client.send(request).await?;
    Ok(BulkItem::of_response(response.status, &response.body))
}

impl Sink for OpenSearchSink {
    fn describe(&self) -> String {
        format!("generation {} of {}", self.number, self.cluster.describe())
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        self.check().boxed()
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_documents_max: BATCH_DOCUMENTS_MAX,
            batch_bytes_max: BATCH_BYTES_MAX,
            in_flight_max: IN_FLIGHT_MAX,
            request_life_max: self.cluster.options.answer_timeout + EXECUTION_MAX,
            delete_memory: DELETE_MEMORY,
            guards_versions: true,
        }
    }

    fn put<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Vec<Outcome>> {
        self.deliver(deliveries).boxed()
    }

    fn fetch<'a>(&'a self, keys: &'a [DocumentKey]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, SinkError>> {
        async move {
            ownership::check(&self.cluster).await?;
            fetch::fetch(&self.cluster, self.number, keys).await
        }
        .boxed()
    }

    fn scan(&self) -> BoxFuture<'_, Result<Box<dyn Scan>, SinkError>> {
        async move {
            ownership::check(&self.cluster).await?;
            let scan = GenerationScan::begin(Arc::clone(&self.cluster), self.number).await?;
            Ok(Box::new(scan) as Box<dyn Scan>)
        }
        .boxed()
    }
}
