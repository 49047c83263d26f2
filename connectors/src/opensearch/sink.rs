//! One generation as a sink: deliveries into bulks, answers into outcomes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use millstream_projector::sink::{Delivery, DocumentKey, Limits, Outcome, RetryCause, Scan, Sink, SinkError};

use super::aliases::Aliases;
use super::bulk::{Line, has_line_break, lines};
use super::client::{BulkAnswer, NoAnswer};
use super::cluster::Cluster;
use super::fetch;
use super::indexes::outdated;
use super::items;
use super::make::{index_of_type, no_generation};
use super::outcome::{self, Verdict, Whole};
use super::scan::GenerationScan;
use super::template::{self, DELETE_MEMORY};
use super::types::DocumentType;

const BATCH_DOCUMENTS_MAX: usize = 1_000;
/// The project's own advice is 5 to 15 MB; a document is parsed on the node for as long as it is large.
const BATCH_BYTES_MAX: usize = 5 << 20;
const IN_FLIGHT_MAX: usize = 4;
/// A request that the node has taken waits at most half the time that we wait for its answer, and is then carried out.
const CARRYING_OUT_MAX: Duration = Duration::from_secs(30);

/// One generation of the indexes.
pub(super) struct OpenSearchSink {
    cluster: Arc<Cluster>,
    number: u32,
}

/// A delivery on its way, by its place.
type Part = Vec<usize>;

/// One `put` under way.
struct Put<'a> {
    deliveries: &'a [Delivery],
    outcomes: Vec<Option<Outcome>>,
    /// Sent again behind these: what the parts before turned out to need.
    parts: Vec<Part>,
    /// Indexes that were made, so that none is made twice.
    made: BTreeSet<String>,
}

impl OpenSearchSink {
    pub(super) fn new(cluster: Arc<Cluster>, number: u32) -> Self {
        Self { cluster, number }
    }

    async fn check(&self) -> Result<(), SinkError> {
        let cluster = &*self.cluster;
        cluster.check_version().await?;
        template::ensure(cluster).await?;
        if !Aliases::get(cluster).await?.generations(cluster).contains(&self.number) {
            return Err(no_generation(cluster, self.number));
        }
        template::check_promises(cluster, self.number).await?;
        let outdated = outdated(cluster, self.number).await?;
        if !outdated.is_empty() {
            // It takes documents all the same, and finds them by what it knows.
            tracing::warn!(
                generation = self.number,
                indexes = outdated.join(", "),
                "the schema gives these indexes another mapping now: searches miss what is new in it until a new generation is built (millstream index build)"
            );
        }
        Ok(())
    }

    async fn deliver(&self, deliveries: &[Delivery]) -> Vec<Outcome> {
        let mut put =
            Put { deliveries, outcomes: vec![None; deliveries.len()], parts: Vec::new(), made: BTreeSet::new() };
        let all = self.admissible(&mut put);
        put.parts.push(all);
        while let Some(part) = put.parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.cluster.client.bulk(self.request(&put, &part)).await {
                Ok(answer) => self.judge(&mut put, part, &answer).await,
                Err(NoAnswer::Unreachable(reason)) => {
                    put.answer(&part, &Outcome::retry(RetryCause::Unavailable, reason));
                }
                Err(NoAnswer::Lost(reason)) => put.answer(&part, &Outcome::retry(RetryCause::Unanswered, reason)),
            }
        }
        let unanswered = || Outcome::retry(RetryCause::Failed, "it was given no answer");
        put.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unanswered)).collect()
    }

    /// Those that can be sent at all; the others are answered.
    fn admissible(&self, put: &mut Put<'_>) -> Part {
        let mut part = Vec::with_capacity(put.deliveries.len());
        for (at, delivery) in put.deliveries.iter().enumerate() {
            let reason = if self.type_of(delivery).is_none() {
                format!("the schema has no type with the key {}", delivery.key.resource_key)
            } else if has_line_break(delivery) {
                "its body has a line break between its members, where a bulk request ends".to_owned()
            } else {
                part.push(at);
                continue;
            };
            put.outcomes[at] = Some(Outcome::Rejected { reason });
        }
        part
    }

    fn type_of(&self, delivery: &Delivery) -> Option<&DocumentType> {
        self.cluster.types.get(delivery.key.resource_key)
    }

    fn request(&self, put: &Put<'_>, part: &Part) -> Bytes {
        // Only what has a type is in a part.
        let aliased = part.iter().filter_map(|at| {
            let delivery = &put.deliveries[*at];
            let ty = self.type_of(delivery)?;
            Some((delivery, self.cluster.names.write(self.number, &ty.stem), ty.resource_json.as_str()))
        });
        let aliased: Vec<_> = aliased.collect();
        lines(aliased.iter().map(|(delivery, alias, resource_json)| Line { delivery, alias, resource_json }))
    }

    async fn judge(&self, put: &mut Put<'_>, part: Part, answer: &BulkAnswer) {
        match outcome::whole(answer) {
            Whole::ByItem => self.judge_items(put, part, answer).await,
            Whole::All(outcome) => put.answer(&part, &outcome),
            Whole::Refused(reason) if part.len() == 1 => put.answer(&part, &Outcome::Rejected { reason }),
            Whole::Refused(_) => {
                let (first, second) = part.split_at(part.len() / 2);
                put.parts.extend([second.to_vec(), first.to_vec()]);
            }
        }
    }

    /// Each by its own answer; those without one are not known to be done.
    async fn judge_items(&self, put: &mut Put<'_>, part: Part, answer: &BulkAnswer) {
        let (items, trouble) = items::read(&answer.body);
        let mut without_index = Part::new();
        for (at, item) in part.iter().zip(&items) {
            match outcome::item(item) {
                Verdict::Answered(outcome) => put.outcomes[*at] = Some(outcome),
                Verdict::NoIndex => without_index.push(*at),
            }
        }
        if let Some(rest) = part.get(items.len()..).filter(|rest| !rest.is_empty()) {
            let why = answer.cut.clone().or(trouble).unwrap_or_else(|| "it has too few items".to_owned());
            let reason = format!("the answer broke off after {} of {} items: {why}", items.len(), part.len());
            put.answer(rest, &Outcome::retry(RetryCause::Unanswered, reason));
        }
        let again = self.make_indexes(put, without_index).await;
        put.parts.push(again);
    }

    /// Makes the indexes that these need; those to be sent again.
    async fn make_indexes(&self, put: &mut Put<'_>, part: Part) -> Part {
        let mut again = Part::new();
        for at in part {
            let Some(stem) = self.type_of(&put.deliveries[at]).map(|ty| ty.stem.clone()) else { continue };
            let result = if put.made.contains(&stem) {
                Err("its index went away as soon as it was made".to_owned())
            } else {
                index_of_type(&self.cluster, self.number, &stem).await.map_err(|error| error.to_string())
            };
            match result {
                Ok(()) => again.push(at),
                Err(reason) => put.outcomes[at] = Some(Outcome::retry(RetryCause::Unavailable, reason)),
            }
        }
        again
    }
}

impl Put<'_> {
    fn answer(&mut self, part: &[usize], outcome: &Outcome) {
        for at in part {
            self.outcomes[*at] = Some(outcome.clone());
        }
    }
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
            request_life_max: self.cluster.options.answer_timeout + CARRYING_OUT_MAX,
            delete_memory: DELETE_MEMORY,
            guards_versions: true,
        }
    }

    fn put<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Vec<Outcome>> {
        self.deliver(deliveries).boxed()
    }

    fn fetch<'a>(&'a self, keys: &'a [DocumentKey]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, SinkError>> {
        fetch::fetch(&self.cluster, self.number, keys).boxed()
    }

    fn scan(&self) -> BoxFuture<'_, Result<Box<dyn Scan>, SinkError>> {
        async move {
            let scan = GenerationScan::begin(Arc::clone(&self.cluster), self.number).await?;
            Ok(Box::new(scan) as Box<dyn Scan>)
        }
        .boxed()
    }
}
