//! One round: reads the bodies of a group and puts them in requests within the sink's limits.
//!
//! The bodies of one request are in memory at a time. Sizes are known only after reading, so the first few documents
//! decide how many are read at once after them.

use super::attempt::{Attempt, AttemptResult, Round};
use super::lane_state::LaneState;
use super::load::load;
use crate::error::ProjectorError;
use millstream_pipeline::queue::{Taken, Work};
use millstream_pipeline::sink::{Content, Delivery, Limits, Outcome, RetryCause};

/// Documents that are read while no sizes are known.
const FIRST_LOOK: usize = 64;

/// Delivers a group. After a request that did not reach the sink, or timed out, the other documents are not sent.
pub(super) async fn deliver(state: &LaneState, group: Vec<Taken>) -> Round {
    let (group_size, limits) = (group.len(), state.deps.sink.limits());
    let mut attempts = Vec::with_capacity(group_size);
    let (mut rest, mut sizing, mut lost) = (group.into_iter(), ReadSizing::default(), false);
    while rest.len() > 0 {
        let mut loaded = Vec::new();
        let read = sizing.read(state, &mut rest, &limits, &mut loaded).await;
        let deliveries: Vec<Delivery> = loaded.iter().filter_map(|(_, delivery)| delivery.clone()).collect();
        let outcomes = if lost || read.is_err() { Vec::new() } else { put_in_parts(state, &deliveries).await };
        lost |= outcomes.iter().any(is_outage);
        let mut outcomes = outcomes.into_iter();
        let outage = read.err();
        for (taken, delivery) in loaded {
            let result = match delivery {
                _ if outage.is_some() => AttemptResult::Unread,
                None => AttemptResult::Uncached,
                Some(delivery) => AttemptResult::Answered {
                    deleted: matches!(delivery.content, Content::Deleted),
                    bytes: delivery.bytes(),
                    outcome: outcomes.next().unwrap_or_else(if lost { not_tried } else { unanswered }),
                },
            };
            attempts.push(Attempt { taken, result, group_size });
        }
        if outage.is_some() {
            attempts.extend(rest.map(|taken| Attempt { taken, result: AttemptResult::Unread, group_size }));
            return Round { attempts, outage };
        }
    }
    Round { attempts, outage: None }
}

/// The number of documents read at once, from the sizes read so far.
#[derive(Default)]
struct ReadSizing {
    /// Documents read so far.
    documents: usize,
    /// Bytes of their bodies.
    bytes: usize,
}

impl ReadSizing {
    /// Reads about as much as one request may carry. `loaded` gets every entry taken from `rest`, also when the
    /// database fails.
    async fn read(
        &mut self,
        state: &LaneState,
        rest: &mut std::vec::IntoIter<Taken>,
        limits: &Limits,
        loaded: &mut Vec<(Taken, Option<Delivery>)>,
    ) -> Result<(), ProjectorError> {
        let mut bytes = 0;
        while rest.len() > 0 && (loaded.is_empty() || bytes + self.mean() <= limits.batch_bytes_max) {
            let part: Vec<Taken> = rest.take(self.fitting(limits.batch_bytes_max.saturating_sub(bytes))).collect();
            let works: Vec<&Work> = part.iter().map(|taken| &taken.work).collect();
            let read = load(&state.deps.database, &works).await;
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

    /// Mean size of the bodies read so far.
    fn mean(&self) -> usize {
        self.bytes.checked_div(self.documents).unwrap_or_default()
    }

    /// Number of documents of the mean size in so many bytes.
    fn fitting(&self, bytes: usize) -> usize {
        if self.documents == 0 { FIRST_LOOK } else { (bytes / self.mean().max(1)).max(1) }
    }
}

/// The outcome of a document that the sink returned none for, which breaks its contract: it is not delivered.
fn unanswered() -> Outcome {
    Outcome::retry(RetryCause::Unanswered, "the sink's response did not include it")
}

/// Whether the sink was unreachable, throttled, or timed out.
fn is_outage(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Retry { cause, .. } if *cause != RetryCause::Failed)
}

fn not_tried() -> Outcome {
    Outcome::retry(RetryCause::Throttled, "the request before it failed")
}

/// Puts all deliveries, in requests within the sink's limits. After a request that did not reach the sink the others
/// are not sent.
async fn put_in_parts(state: &LaneState, deliveries: &[Delivery]) -> Vec<Outcome> {
    let sink = &state.deps.sink;
    let limits = sink.limits();
    let mut outcomes = Vec::with_capacity(deliveries.len());
    let mut rest = deliveries;
    while !rest.is_empty() {
        let (part, later) = rest.split_at(fitting(rest, &limits));
        let mut answered = sink.put(part).await;
        answered.resize_with(part.len(), unanswered);
        let lost = answered.iter().any(is_outage);
        outcomes.extend(answered);
        if lost {
            outcomes.extend(later.iter().map(|_| not_tried()));
            break;
        }
        rest = later;
    }
    outcomes
}

/// Number of leading deliveries that fit into one request, at least one.
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
    use millstream_pipeline::sink::DocumentKey;
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
