//! One round: reads the bodies of a group and puts them in requests within the sink's limits.
//!
//! The bodies of one request are in memory at a time. The database knows their sizes before it reads them, so a read
//! ends where the request is full.

use super::attempt::{Attempt, AttemptResult, Round};
use super::lane_state::LaneState;
use super::load::{LoadedEntry, load};
use crate::error::ProjectorError;
use millstream_pipeline::memory::{MemoryReservation, OverBudget};
use millstream_pipeline::queue::{Taken, Work};
use millstream_pipeline::sink::{Content, Delivery, Limits, Outcome, RetryCause};
use std::collections::VecDeque;

/// A request takes its bodies as they are read, and once more as the sink encodes them.
const COPIES: usize = 2;

/// Delivers a group. After a request that did not reach the sink, or timed out, the other documents are not sent.
pub(super) async fn deliver(state: &LaneState, group: Vec<Taken>) -> Round {
    let group_size = group.len();
    let mut attempts = Vec::with_capacity(group_size);
    let (mut reader, mut lost) = (GroupReader::new(state, group), false);
    while !reader.rest.is_empty() {
        let Request { entries, outage, reserved: _reserved } = reader.next_request().await;
        let deliveries: Vec<Delivery> = entries.iter().filter_map(|(_, read)| read.delivery().cloned()).collect();
        let outcomes = if lost || outage.is_some() { Vec::new() } else { put_in_parts(state, &deliveries).await };
        lost |= outcomes.iter().any(is_outage);
        let mut outcomes = outcomes.into_iter();
        for (taken, read) in entries {
            let result = match read {
                _ if outage.is_some() => AttemptResult::Unread,
                Read::Uncached => AttemptResult::Uncached,
                Read::TooLarge(bytes, over) => {
                    let reason = format!("its body does not fit into memory: {over}");
                    AttemptResult::Answered { deleted: false, bytes, outcome: Outcome::Rejected { reason } }
                }
                Read::Delivery(delivery) => AttemptResult::Answered {
                    deleted: matches!(delivery.content, Content::Deleted),
                    bytes: delivery.bytes(),
                    outcome: outcomes.next().unwrap_or_else(if lost { not_tried } else { unanswered }),
                },
            };
            attempts.push(Attempt { taken, result, group_size });
        }
        if outage.is_some() {
            let rest = reader.rest.into_iter();
            attempts.extend(rest.map(|taken| Attempt { taken, result: AttemptResult::Unread, group_size }));
            return Round { attempts, outage };
        }
    }
    Round { attempts, outage: None }
}

/// The result of reading one entry.
enum Read {
    Delivery(Delivery),
    Uncached,
    /// Its body, of so many bytes, exceeds the memory that a delivery can have.
    TooLarge(usize, OverBudget),
}

impl Read {
    const fn delivery(&self) -> Option<&Delivery> {
        match self {
            Self::Delivery(delivery) => Some(delivery),
            Self::Uncached | Self::TooLarge(..) => None,
        }
    }
}

/// The entries of one request, and the memory that it takes. After an outage nothing of them was read.
struct Request {
    entries: Vec<(Taken, Read)>,
    outage: Option<ProjectorError>,
    reserved: Option<MemoryReservation>,
}

/// Reads a group request by request.
struct GroupReader<'a> {
    state: &'a LaneState,
    limits: Limits,
    rest: VecDeque<Taken>,
    /// Entries to ask for next: about as many as fit.
    count: usize,
}

impl<'a> GroupReader<'a> {
    fn new(state: &'a LaneState, group: Vec<Taken>) -> Self {
        let limits = state.deps.sink.limits();
        Self { state, limits, rest: group.into(), count: limits.batch_documents_max.max(1) }
    }

    /// Reads about as much as one request may carry, at least one entry.
    async fn next_request(&mut self) -> Request {
        let memory = &self.state.deps.memory;
        let mut bytes_max = memory.portion(self.limits.batch_bytes_max);
        loop {
            let reserved = match memory.reserve(bytes_max.saturating_mul(COPIES)).await {
                Ok(reserved) => reserved,
                Err(over) => {
                    let entries = self.rest.pop_front().map(|taken| (taken, Read::TooLarge(bytes_max, over)));
                    return Request { entries: entries.into_iter().collect(), outage: None, reserved: None };
                }
            };
            let part: Vec<Taken> = self.rest.drain(..self.count.min(self.rest.len())).collect();
            let works: Vec<&Work> = part.iter().map(|taken| &taken.work).collect();
            let loaded = match load(&self.state.deps.database, &works, bytes_max).await {
                Ok(loaded) => loaded,
                Err(error) => {
                    let entries = part.into_iter().map(|taken| (taken, Read::Uncached)).collect();
                    return Request { entries, outage: Some(error), reserved: Some(reserved) };
                }
            };
            let mut entries = Vec::with_capacity(part.len());
            let mut deferred = Vec::new();
            for (taken, loaded) in part.into_iter().zip(loaded) {
                match loaded {
                    LoadedEntry::Delivery(delivery) => entries.push((taken, Read::Delivery(delivery))),
                    LoadedEntry::Uncached => entries.push((taken, Read::Uncached)),
                    LoadedEntry::Deferred(bytes) => deferred.push((bytes, taken)),
                }
            }
            self.count = match deferred.is_empty() {
                true => self.count.saturating_mul(2).min(self.limits.batch_documents_max.max(1)),
                false => entries.len().max(1),
            };
            // The smallest first: if no body fits, the next read is for that one alone.
            deferred.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
            let smallest = deferred.last().map(|(bytes, _)| *bytes);
            deferred.into_iter().for_each(|(_, taken)| self.rest.push_front(taken));
            match smallest {
                Some(bytes) if entries.is_empty() => (self.count, bytes_max) = (1, bytes_max.max(bytes)),
                _ => return Request { entries, outage: None, reserved: Some(reserved) },
            }
        }
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
