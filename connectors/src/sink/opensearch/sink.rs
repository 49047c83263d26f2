//! One generation as a sink: deliveries into bulks, answers into outcomes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use millstream_pipeline::sink::{Delivery, DocumentKey, Limits, Outcome, RetryCause, Scan, Sink, SinkError};

use super::aliases::Aliases;
use super::bulk::{Line, has_line_break, lines};
use super::client::{BulkAnswer, NoAnswer};
use super::cluster::Cluster;
use super::fetch;
use super::indexes::outdated;
use super::items::{self, Item};
use super::make::{index_of_type, no_generation};
use super::outcome::{self, Verdict, Whole};
use super::scan::GenerationScan;
use super::single;
use super::template;
use super::types::DocumentType;
use super::whose;

const BATCH_DOCUMENTS_MAX: usize = 1_000;
/// The project's own advice is 5 to 15 MB; a document is parsed on the node for as long as it is large.
const BATCH_BYTES_MAX: usize = 5 << 20;
const IN_FLIGHT_MAX: usize = 4;
/// The indexes are set to a day, which covers all that can still be under way. But a node that is stopped writes to disk
/// what it holds, and begins again without the versions of what it does not hold any more: so nothing may lean on it.
const DELETE_MEMORY: Duration = Duration::ZERO;
/// A request that the node has taken waits at most half the time that we wait for its answer, and is then carried out.
const CARRYING_OUT_MAX: Duration = Duration::from_secs(30);

/// One generation of the indexes.
pub(super) struct OpenSearchSink {
    cluster: Arc<Cluster>,
    number: u32,
    /// What each index is written through, by its stem.
    aliases: BTreeMap<String, String>,
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
        let aliases = cluster.types.stems().map(|stem| (stem.to_owned(), cluster.names.write(number, stem))).collect();
        Self { cluster, number, aliases }
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
                differences = outdated.join("; "),
                "the schema gives these indexes other mappings now: searches miss what is new in them until a new generation is built (millstream index build)"
            );
        }
        Ok(())
    }

    async fn deliver(&self, deliveries: &[Delivery]) -> Vec<Outcome> {
        let mut put =
            Put { deliveries, outcomes: vec![None; deliveries.len()], parts: Vec::new(), made: BTreeSet::new() };
        self.sort_out(&mut put);
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
                Err(NoAnswer::Unreachable(reason)) => {
                    put.answer(&part, &Outcome::retry(RetryCause::Unavailable, reason));
                }
                Err(NoAnswer::Lost(reason)) => put.answer(&part, &Outcome::retry(RetryCause::Unanswered, reason)),
            }
        }
        let unanswered = || Outcome::retry(RetryCause::Failed, "it was given no answer");
        put.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unanswered)).collect()
    }

    /// What goes into one bulk, what goes alone, and what cannot be sent at all.
    fn sort_out(&self, put: &mut Put<'_>) {
        let mut together = Vec::with_capacity(put.deliveries.len());
        for (at, delivery) in put.deliveries.iter().enumerate() {
            if self.type_of(delivery).is_none() {
                let reason = format!("the schema has no type with the key {}", delivery.key.resource_key);
                put.outcomes[at] = Some(Outcome::Rejected { reason });
            } else if has_line_break(delivery) {
                put.parts.push(vec![at]);
            } else {
                together.push(at);
            }
        }
        put.parts.push(together);
    }

    async fn send(&self, put: &mut Put<'_>, part: &Part) -> Result<(), NoAnswer> {
        let lines = lines(part.iter().filter_map(|at| self.line(&put.deliveries[*at])));
        let answer = self.cluster.client.bulk(lines).await?;
        self.judge(put, part, &answer).await;
        Ok(())
    }

    async fn send_alone(&self, put: &mut Put<'_>, at: usize) -> Result<(), NoAnswer> {
        if let Some(line) = self.line(&put.deliveries[at]) {
            let item = single::put(&self.cluster, line).await?;
            self.judge_items(put, &[at], &[item]).await;
        }
        Ok(())
    }

    fn type_of(&self, delivery: &Delivery) -> Option<&DocumentType> {
        self.cluster.types.get(delivery.key.resource_key)
    }

    /// Only what has a type gets here.
    fn line<'a>(&'a self, delivery: &'a Delivery) -> Option<Line<'a>> {
        let ty = self.type_of(delivery)?;
        Some(Line { delivery, alias: self.aliases.get(&ty.stem)?, resource_json: &ty.resource_json })
    }

    async fn judge(&self, put: &mut Put<'_>, part: &[usize], answer: &BulkAnswer) {
        match outcome::whole(answer) {
            Whole::ByItem => {
                let (items, trouble) = items::read(&answer.body);
                if let Some(rest) = part.get(items.len()..).filter(|rest| !rest.is_empty()) {
                    let why = answer.cut.clone().or(trouble).unwrap_or_else(|| "it has too few items".to_owned());
                    let reason = format!("the answer broke off after {} of {} items: {why}", items.len(), part.len());
                    put.answer(rest, &Outcome::retry(RetryCause::Unanswered, reason));
                }
                self.judge_items(put, part, &items).await;
            }
            Whole::All(outcome) => put.answer(part, &outcome),
            Whole::Refused(reason) if part.len() == 1 => put.answer(part, &Outcome::Rejected { reason }),
            Whole::Refused(_) => {
                let (first, second) = part.split_at(part.len() / 2);
                put.parts.extend([second.to_vec(), first.to_vec()]);
            }
        }
    }

    /// Each by its own answer.
    async fn judge_items(&self, put: &mut Put<'_>, part: &[usize], items: &[Item]) {
        let mut without_index = Part::new();
        for (at, item) in part.iter().zip(items) {
            match outcome::item(item) {
                Verdict::Answered(outcome) => put.outcomes[*at] = Some(outcome),
                Verdict::NoIndex => without_index.push(*at),
            }
        }
        let again = self.make_indexes(put, without_index).await;
        put.parts.push(again);
    }

    /// Makes the indexes that these need, each once in a put; those to be sent again.
    async fn make_indexes(&self, put: &mut Put<'_>, part: Part) -> Part {
        let mut by_stem: BTreeMap<&str, Part> = BTreeMap::new();
        for at in part {
            if let Some(ty) = self.type_of(&put.deliveries[at]) {
                by_stem.entry(&ty.stem).or_default().push(at);
            }
        }
        let mut again = Part::new();
        for (stem, part) in by_stem {
            let result = if put.made.insert(stem.to_owned()) {
                index_of_type(&self.cluster, self.number, stem).await.map_err(|error| error.to_string())
            } else {
                Err("its index went away as soon as it was made".to_owned())
            };
            match result {
                Ok(()) => again.extend(part),
                Err(reason) => put.answer(&part, &Outcome::retry(RetryCause::Unavailable, reason)),
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
        async move {
            whose::check(&self.cluster).await?;
            fetch::fetch(&self.cluster, self.number, keys).await
        }
        .boxed()
    }

    fn scan(&self) -> BoxFuture<'_, Result<Box<dyn Scan>, SinkError>> {
        async move {
            whose::check(&self.cluster).await?;
            let scan = GenerationScan::begin(Arc::clone(&self.cluster), self.number).await?;
            Ok(Box::new(scan) as Box<dyn Scan>)
        }
        .boxed()
    }
}
