//! One round: a batch out of the lane, read and put in parts that fit, each entry with its answer.
//!
//! Bodies are in memory for one request at a time. How large they are is known only once they are read, so the first few
//! say how many are read at once after them.

use super::{Shared, load};
use crate::error::ProjectorError;
use millstream_pipeline::queue::{Taken, Work};
use millstream_pipeline::sink::{Delivery, Limits, Outcome, RetryCause};

/// Documents that are read before anything is known of their size.
const FIRST_LOOK: usize = 64;

/// What became of one entry.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) taken: Taken,
    pub(super) found: Found,
    /// With how many it was delivered, itself included.
    pub(super) company: usize,
}

/// What was found out about one entry.
#[derive(Debug)]
pub(super) enum Found {
    /// The sink answered for it.
    Answered {
        /// It was a delete.
        deleted: bool,
        /// Bytes of its body.
        bytes: usize,
        outcome: Outcome,
    },
    /// It is neither cached nor deleted yet.
    Uncached,
    /// The database did not say what to deliver.
    Unread,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) attempts: Vec<Attempt>,
    /// Why the database did not answer, if it did not.
    pub(super) outage: Option<ProjectorError>,
}

impl Round {
    /// Whether the sink gave this reason for anything.
    pub(super) fn met(&self, wanted: RetryCause) -> bool {
        self.attempts.iter().any(|attempt| {
            matches!(&attempt.found, Found::Answered { outcome: Outcome::Retry { cause, .. }, .. } if *cause == wanted)
        })
    }

    /// Whether the sink had an answer for any document, be it a refusal.
    pub(super) fn has_answer(&self) -> bool {
        self.attempts.iter().any(|attempt| match &attempt.found {
            Found::Answered { outcome: Outcome::Retry { cause, .. }, .. } => *cause == RetryCause::Failed,
            Found::Answered { .. } => true,
            Found::Uncached | Found::Unread => false,
        })
    }

    /// The last thing that the sink complained about.
    pub(super) fn complaint(&self) -> Option<&str> {
        self.attempts.iter().rev().find_map(|attempt| match &attempt.found {
            Found::Answered { outcome: Outcome::Retry { reason, .. } | Outcome::Rejected { reason }, .. } => {
                Some(reason.as_str())
            }
            _ => None,
        })
    }
}

/// Delivers a batch. After a request that could not reach the sink, or was not answered, the rest is not tried.
pub(super) async fn deliver(shared: &Shared, batch: Vec<Taken>) -> Round {
    let (company, limits) = (batch.len(), shared.deps.sink.limits());
    let mut attempts = Vec::with_capacity(company);
    let (mut rest, mut reading, mut lost) = (batch.into_iter(), Reading::default(), false);
    while rest.len() > 0 {
        let mut loaded = Vec::new();
        let read = reading.read(shared, &mut rest, &limits, &mut loaded).await;
        let deliveries: Vec<Delivery> = loaded.iter().filter_map(|(_, delivery)| delivery.clone()).collect();
        let outcomes = if lost || read.is_err() { Vec::new() } else { put_in_parts(shared, &deliveries).await };
        lost |= outcomes.iter().any(has_lost_it);
        let mut outcomes = outcomes.into_iter();
        let outage = read.err();
        for (taken, delivery) in loaded {
            let found = match delivery {
                _ if outage.is_some() => Found::Unread,
                None => Found::Uncached,
                Some(delivery) => Found::Answered {
                    deleted: matches!(delivery.content, millstream_pipeline::sink::Content::Deleted),
                    bytes: delivery.bytes(),
                    outcome: outcomes.next().unwrap_or_else(if lost { not_tried } else { unanswered }),
                },
            };
            attempts.push(Attempt { taken, found, company });
        }
        if outage.is_some() {
            attempts.extend(rest.map(|taken| Attempt { taken, found: Found::Unread, company }));
            return Round { attempts, outage };
        }
    }
    Round { attempts, outage: None }
}

/// How much is read at once.
#[derive(Default)]
struct Reading {
    /// What was read so far: documents, and bytes of their bodies.
    documents: usize,
    bytes: usize,
}

impl Reading {
    /// Reads about as much as one request may carry; all that it takes stands in `loaded` also when the database fails.
    async fn read(
        &mut self,
        shared: &Shared,
        rest: &mut std::vec::IntoIter<Taken>,
        limits: &Limits,
        loaded: &mut Vec<(Taken, Option<Delivery>)>,
    ) -> Result<(), ProjectorError> {
        let mut bytes = 0;
        while rest.len() > 0 && (loaded.is_empty() || bytes + self.mean() <= limits.batch_bytes_max) {
            let part: Vec<Taken> = rest.take(self.fitting(limits.batch_bytes_max.saturating_sub(bytes))).collect();
            let works: Vec<&Work> = part.iter().map(|taken| &taken.work).collect();
            let read = load::load(&shared.deps.database, &works).await;
            let (deliveries, failed) = match read {
                Ok(deliveries) => (deliveries, None),
                Err(error) => (vec![None; part.len()], Some(error)),
            };
            let read: usize = deliveries.iter().flatten().map(Delivery::bytes).sum();
            (self.documents, self.bytes, bytes) = (self.documents + part.len(), self.bytes + read, bytes + read);
            loaded.extend(part.into_iter().zip(deliveries));
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Bytes of a body so far.
    fn mean(&self) -> usize {
        self.bytes.checked_div(self.documents).unwrap_or_default()
    }

    /// How many documents of the size that they had so far have so many bytes.
    fn fitting(&self, bytes: usize) -> usize {
        if self.documents == 0 { FIRST_LOOK } else { (bytes / self.mean().max(1)).max(1) }
    }
}

/// A sink that answers for fewer than it was given has broken its promise; what it did not answer for is not done.
fn unanswered() -> Outcome {
    Outcome::retry(RetryCause::Unanswered, "the sink's answer did not mention it")
}

/// Whether an answer says that the sink is away or wants less, or there was none.
fn has_lost_it(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Retry { cause, .. } if *cause != RetryCause::Failed)
}

fn not_tried() -> Outcome {
    Outcome::retry(RetryCause::Throttled, "the request before it failed")
}

/// Puts all of them, in requests that keep to the sink's limits. After one that could not reach the sink the rest is not
/// tried.
async fn put_in_parts(shared: &Shared, deliveries: &[Delivery]) -> Vec<Outcome> {
    let sink = &shared.deps.sink;
    let limits = sink.limits();
    let mut outcomes = Vec::with_capacity(deliveries.len());
    let mut rest = deliveries;
    while !rest.is_empty() {
        let (part, later) = rest.split_at(fitting(rest, &limits));
        let mut answered = sink.put(part).await;
        answered.resize_with(part.len(), unanswered);
        let lost = answered.iter().any(has_lost_it);
        outcomes.extend(answered);
        if lost {
            outcomes.extend(later.iter().map(|_| not_tried()));
            break;
        }
        rest = later;
    }
    outcomes
}

/// How many of the first deliveries fit into one request: at least one.
fn fitting(deliveries: &[Delivery], limits: &Limits) -> usize {
    let mut bytes = 0;
    let within = deliveries.iter().take(limits.batch_documents_max.max(1)).take_while(|delivery| {
        bytes += delivery.bytes();
        bytes <= limits.batch_bytes_max
    });
    within.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use millstream_pipeline::sink::{Content, DocumentKey};
    use std::time::Duration;
    use uuid::Uuid;

    #[test]
    fn requests_keep_to_both_limits_and_a_large_document_goes_alone() {
        let limits = Limits {
            batch_documents_max: 3,
            batch_bytes_max: 100,
            in_flight_max: 1,
            request_life_max: Duration::ZERO,
            delete_memory: Duration::ZERO,
            guards_versions: true,
        };
        let sizes = |sizes: &[usize]| -> Vec<Delivery> {
            let key = DocumentKey { uuid: Uuid::nil(), resource_key: 1 };
            let delivery = |size: &usize| Delivery {
                key,
                version: 1,
                content: Content::Document(Bytes::from(vec![b' '; *size])),
                repair: false,
            };
            sizes.iter().map(delivery).collect()
        };
        assert_eq!(fitting(&sizes(&[10, 10, 10, 10]), &limits), 3);
        assert_eq!(fitting(&sizes(&[60, 40, 1]), &limits), 2);
        assert_eq!(fitting(&sizes(&[500, 1]), &limits), 1);
    }
}
