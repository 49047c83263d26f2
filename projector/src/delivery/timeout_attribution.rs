//! From a sink's outcome to the settlement of the entry in its lane, with the attribution of timeouts to documents.

use millstream_pipeline::Backoff;
use millstream_pipeline::queue::{Settled, Taken};
use millstream_pipeline::sink::{Outcome, RetryCause};
use std::collections::HashMap;
use std::time::Duration;

/// Most timed-out documents kept. Beyond it all are dropped; the only cost is that a delete after a timeout may not be
/// repeated.
const REMEMBERED_MAX: usize = 100_000;

/// The timed-out requests by document. The sink may still carry them out.
#[derive(Debug, Default)]
pub(super) struct TimeoutAttribution(HashMap<i64, UnansweredRequest>);

/// A timed-out request.
#[derive(Debug, Clone, Copy)]
struct UnansweredRequest {
    /// Until this time the sink may still carry it out.
    until_ms: u64,
    /// Number of documents that it carried.
    group_size: usize,
    /// [`SinkResponse::answered`] at that time.
    answered: u64,
}

/// Delays before retries.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryLimits {
    /// After one document failed.
    pub(super) poison: Backoff,
    /// After the sink was unreachable or throttled.
    pub(super) outage: Backoff,
    /// Time for which the sink may carry out a timed-out request
    /// ([`millstream_pipeline::sink::Limits::request_life_max`]).
    pub(super) request_life_max: Duration,
}

/// A sink's outcome for one entry, and the state needed to settle it.
#[derive(Debug, Clone, Copy)]
pub(super) struct SinkResponse<'a> {
    pub(super) taken: &'a Taken,
    pub(super) deleted: bool,
    /// Number of documents in its group, itself included. A failure of a group of one is attributed to its document.
    pub(super) group_size: usize,
    pub(super) outcome: &'a Outcome,
    /// Consecutive rounds in which the sink was unreachable, timed out or throttled, this one included.
    pub(super) outages: u32,
    /// Rounds in which the sink processed any document.
    pub(super) answered: u64,
    pub(super) now_ms: u64,
}

impl TimeoutAttribution {
    /// Returns the group size of the last request with this document, if it timed out.
    pub(super) fn timed_out_with(&self, document_id: i64) -> Option<usize> {
        self.0.get(&document_id).map(|request| request.group_size)
    }

    fn remember(&mut self, document_id: i64, request: UnansweredRequest) {
        if self.0.len() >= REMEMBERED_MAX {
            self.0.clear();
        }
        self.0.insert(document_id, request);
    }

    /// Returns the settlement of the entry.
    pub(super) fn settle(&mut self, response: SinkResponse<'_>, limits: &RetryLimits) -> Settled {
        let SinkResponse { taken, deleted, group_size, outcome, outages, answered, now_ms } = response;
        let (id, attempts) = (taken.work.document_id, taken.work.attempts.saturating_add(1));
        let after = |delay: Duration| now_ms.saturating_add(delay.as_millis() as u64);
        let failed = |reason: &str| Settled::Failed {
            not_before_ms: after(limits.poison.delay(attempts)),
            reason: reason.to_owned(),
        };
        match outcome {
            Outcome::Done | Outcome::Superseded => match self.0.remove(&id) {
                // The timed-out put may still take effect after this delete: delete again once it no longer can.
                Some(UnansweredRequest { until_ms, .. }) if deleted && until_ms > now_ms => {
                    Settled::RetryAt { not_before_ms: until_ms }
                }
                _ => Settled::Done,
            },
            Outcome::Rejected { reason } | Outcome::Retry { cause: RetryCause::Failed, reason } => failed(reason),
            Outcome::Retry { cause: RetryCause::Unanswered, reason } => {
                let before = self.0.get(&id).map(|request| request.answered);
                self.remember(id, UnansweredRequest { until_ms: after(limits.request_life_max), group_size, answered });
                // A timed-out group cannot be attributed to one document: it is retried in smaller groups. A document
                // alone is the cause only if the sink has processed others since its last timeout; otherwise the sink
                // may be failing for all documents.
                if group_size == 1 && before.is_some_and(|before| before < answered) {
                    failed(reason)
                } else {
                    Settled::RetryAt { not_before_ms: after(limits.outage.delay(outages)) }
                }
            }
            Outcome::Retry { cause: RetryCause::Throttled | RetryCause::Unavailable, .. } => {
                Settled::RetryAt { not_before_ms: after(limits.outage.delay(outages)) }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use millstream_pipeline::queue::{Ticket, Work};
    use uuid::Uuid;

    const NOW_MS: u64 = 1_000_000;

    /// An entry of a lane.
    pub(in super::super) fn taken(document_id: i64, attempts: u32) -> Taken {
        let work = Work {
            document_id,
            document_uuid: Uuid::from_u128(document_id as u128),
            resource_key: 1,
            version: 5,
            xid: 0,
            history: 0,
            deleted: false,
            rebuild: true,
            cascade: false,
            repair: false,
            low_priority: false,
            attempts,
            first_enqueued_at_ms: 0,
            not_before_ms: 0,
        };
        Taken { ticket: Ticket::new(document_id, 1), work }
    }

    fn limits() -> RetryLimits {
        let backoff = |base_ms, ceiling_ms| Backoff {
            base: Duration::from_millis(base_ms),
            ceiling: Duration::from_millis(ceiling_ms),
        };
        RetryLimits {
            poison: backoff(1_000, 60_000),
            outage: backoff(100, 5_000),
            request_life_max: Duration::from_secs(30),
        }
    }

    fn settle(
        unanswered: &mut TimeoutAttribution,
        outcome: Outcome,
        group_size: usize,
        deleted: bool,
        now_ms: u64,
    ) -> Settled {
        settle_after(unanswered, 0, outcome, group_size, deleted, now_ms)
    }

    fn settle_after(
        unanswered: &mut TimeoutAttribution,
        answered: u64,
        outcome: Outcome,
        group_size: usize,
        deleted: bool,
        now_ms: u64,
    ) -> Settled {
        let taken = taken(7, 1);
        let response =
            SinkResponse { taken: &taken, deleted, group_size, outcome: &outcome, outages: 3, answered, now_ms };
        unanswered.settle(response, &limits())
    }

    #[test]
    fn rejections_count_as_attempts_and_outages_do_not() {
        let mut unanswered = TimeoutAttribution::default();
        let refused = Outcome::Rejected { reason: "no date".to_owned() };
        let expected = Settled::Failed { not_before_ms: NOW_MS + 2_000, reason: "no date".to_owned() };
        assert_eq!(settle(&mut unanswered, refused, 9, false, NOW_MS), expected);
        for cause in [RetryCause::Throttled, RetryCause::Unavailable] {
            let settled = settle(&mut unanswered, Outcome::retry(cause, "away"), 1, false, NOW_MS);
            assert_eq!(settled, Settled::RetryAt { not_before_ms: NOW_MS + 400 });
        }
    }

    #[test]
    fn a_timeout_is_attributed_to_a_document_only_when_it_was_alone_and_others_were_answered() {
        let mut unanswered = TimeoutAttribution::default();
        let timeout = || Outcome::retry(RetryCause::Unanswered, "no answer in 10 s");
        let in_group = settle(&mut unanswered, timeout(), 9, false, NOW_MS);
        assert_eq!(in_group, Settled::RetryAt { not_before_ms: NOW_MS + 400 });
        assert_eq!(unanswered.timed_out_with(7), Some(9), "retried in a smaller group");
        let none_answered = settle(&mut unanswered, timeout(), 1, false, NOW_MS);
        assert_eq!(none_answered, Settled::RetryAt { not_before_ms: NOW_MS + 400 }, "the sink itself may be failing");
        let others_answered = settle_after(&mut unanswered, 1, timeout(), 1, false, NOW_MS);
        assert!(matches!(others_answered, Settled::Failed { .. }));
        let none_since = settle_after(&mut unanswered, 1, timeout(), 1, false, NOW_MS);
        assert!(matches!(none_since, Settled::RetryAt { .. }));
        assert_eq!(settle(&mut unanswered, Outcome::Done, 1, false, NOW_MS), Settled::Done);
        assert_eq!(unanswered.timed_out_with(7), None);
    }

    #[test]
    fn a_delete_after_a_timeout_is_repeated_when_the_put_can_no_longer_take_effect() {
        let mut unanswered = TimeoutAttribution::default();
        settle(&mut unanswered, Outcome::retry(RetryCause::Unanswered, "no answer"), 9, false, NOW_MS);
        let first = settle(&mut unanswered, Outcome::Done, 9, true, NOW_MS + 1);
        assert_eq!(first, Settled::RetryAt { not_before_ms: NOW_MS + 30_000 });
        assert_eq!(settle(&mut unanswered, Outcome::Done, 9, true, NOW_MS + 30_000), Settled::Done);
    }
}
