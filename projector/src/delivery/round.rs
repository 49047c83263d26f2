//! One round: a batch out of the lane, read, put in parts that fit, each entry with its answer.

use super::{Shared, load};
use crate::error::ProjectorError;
use crate::sink::{Delivery, Limits, Outcome, RetryCause};
use millstream_outbox::queue::{Taken, Work};

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

/// Delivers a batch.
pub(super) async fn deliver(shared: &Shared, batch: Vec<Taken>) -> Round {
    let company = batch.len();
    let works: Vec<&Work> = batch.iter().map(|taken| &taken.work).collect();
    let loaded = match load::load(&shared.deps.database, &works).await {
        Ok(loaded) => loaded,
        Err(error) => {
            let attempts = batch.into_iter().map(|taken| Attempt { taken, found: Found::Unread, company });
            return Round { attempts: attempts.collect(), outage: Some(error) };
        }
    };
    let deliveries: Vec<Delivery> = loaded.iter().flatten().cloned().collect();
    let mut outcomes = put_in_parts(shared, &deliveries).await.into_iter().zip(&deliveries);
    let attempts = batch.into_iter().zip(&loaded).map(|(taken, loaded)| {
        let found = match loaded {
            None => Found::Uncached,
            Some(delivery) => Found::Answered {
                deleted: matches!(delivery.content, crate::sink::Content::Deleted),
                bytes: delivery.bytes(),
                outcome: outcomes.next().map_or_else(unanswered, |(outcome, _)| outcome),
            },
        };
        Attempt { taken, found, company }
    });
    Round { attempts: attempts.collect(), outage: None }
}

/// A sink that answers for fewer than it was given has broken its promise; what it did not answer for is not done.
fn unanswered() -> Outcome {
    Outcome::retry(RetryCause::Unanswered, "the sink's answer did not mention it")
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
        let lost = answered.iter().any(|outcome| {
            matches!(outcome, Outcome::Retry { cause: RetryCause::Unavailable | RetryCause::Throttled, .. })
        });
        outcomes.extend(answered);
        if lost {
            outcomes
                .extend(later.iter().map(|_| Outcome::retry(RetryCause::Throttled, "the request before it failed")));
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
    use crate::sink::{Content, DocumentKey};
    use bytes::Bytes;
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
