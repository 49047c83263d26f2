//! What a sink's answer means for the entry in its lane.

use millstream_pipeline::Backoff;
use millstream_pipeline::queue::{Settled, Taken};
use millstream_pipeline::sink::{Outcome, RetryCause};
use std::collections::HashMap;
use std::time::Duration;

/// Documents remembered at most of those whose answer did not come. Beyond it the knowledge is dropped, which costs a
/// second delete its certainty and nothing else.
const REMEMBERED_MAX: usize = 100_000;

/// What is known of requests that were not answered, by document: they may be carried out still.
#[derive(Debug, Default)]
pub(super) struct TimeoutAttribution(HashMap<i64, UnansweredRequest>);

/// A request that was not answered.
#[derive(Debug, Clone, Copy)]
struct UnansweredRequest {
    /// Until when it may be carried out.
    until_ms: u64,
    /// How many documents it carried.
    company: usize,
    /// What the sink had answered by then ([`Answer::answered`]).
    answered: u64,
}

/// How long to wait before trying again.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryLimits {
    /// After one document failed.
    pub(super) poison: Backoff,
    /// After the sink could not be reached or asked for less.
    pub(super) outage: Backoff,
    /// How long a request may still be carried out ([`millstream_pipeline::sink::Limits::request_life_max`]).
    pub(super) request_life_max: Duration,
}

/// One answer, with what is needed to judge it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    pub(super) taken: &'a Taken,
    pub(super) deleted: bool,
    /// With how many it was delivered, itself included: what goes wrong with one is its own fault.
    pub(super) company: usize,
    pub(super) outcome: &'a Outcome,
    /// Rounds in a row in which the sink could not be reached, did not answer or asked for less, this one included.
    pub(super) outages: u32,
    /// Rounds in which the sink had an answer for any document.
    pub(super) answered: u64,
    pub(super) now_ms: u64,
}

impl TimeoutAttribution {
    /// How many documents the last request with this one carried, if it was not answered.
    pub(super) fn company(&self, document_id: i64) -> Option<usize> {
        self.0.get(&document_id).map(|silence| silence.company)
    }

    fn remember(&mut self, document_id: i64, silence: UnansweredRequest) {
        if self.0.len() >= REMEMBERED_MAX {
            self.0.clear();
        }
        self.0.insert(document_id, silence);
    }

    /// What becomes of the entry.
    pub(super) fn settle(&mut self, answer: Answer<'_>, patience: &RetryLimits) -> Settled {
        let Answer { taken, deleted, company, outcome, outages, answered, now_ms } = answer;
        let (id, attempts) = (taken.work.document_id, taken.work.attempts.saturating_add(1));
        let after = |delay: Duration| now_ms.saturating_add(delay.as_millis() as u64);
        let failed = |reason: &str| Settled::Failed {
            not_before_ms: after(patience.poison.delay(attempts)),
            reason: reason.to_owned(),
        };
        match outcome {
            Outcome::Done | Outcome::Superseded => match self.0.remove(&id) {
                // The put that was not answered may still come after this delete: delete again when it no longer can.
                Some(UnansweredRequest { until_ms, .. }) if deleted && until_ms > now_ms => {
                    Settled::RetryAt { not_before_ms: until_ms }
                }
                _ => Settled::Done,
            },
            Outcome::Rejected { reason } | Outcome::Retry { cause: RetryCause::Failed, reason } => failed(reason),
            Outcome::Retry { cause: RetryCause::Unanswered, reason } => {
                let before = self.0.get(&id).map(|silence| silence.answered);
                self.remember(id, UnansweredRequest { until_ms: after(patience.request_life_max), company, answered });
                // In company nobody knows whose fault it was: next time it goes with fewer. Alone it is to blame only if
                // the sink had answers for others since it was silent about this one; else it may have none for anybody.
                if company == 1 && before.is_some_and(|before| before < answered) {
                    failed(reason)
                } else {
                    Settled::RetryAt { not_before_ms: after(patience.outage.delay(outages)) }
                }
            }
            Outcome::Retry { cause: RetryCause::Throttled | RetryCause::Unavailable, .. } => {
                Settled::RetryAt { not_before_ms: after(patience.outage.delay(outages)) }
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

    fn patience() -> RetryLimits {
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
        company: usize,
        deleted: bool,
        now_ms: u64,
    ) -> Settled {
        settle_after(unanswered, 0, outcome, company, deleted, now_ms)
    }

    fn settle_after(
        unanswered: &mut TimeoutAttribution,
        answered: u64,
        outcome: Outcome,
        company: usize,
        deleted: bool,
        now_ms: u64,
    ) -> Settled {
        let taken = taken(7, 1);
        let answer = Answer { taken: &taken, deleted, company, outcome: &outcome, outages: 3, answered, now_ms };
        unanswered.settle(answer, &patience())
    }

    #[test]
    fn what_the_sink_refuses_counts_and_what_keeps_it_from_answering_does_not() {
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
    fn silence_is_blamed_on_a_document_only_when_it_was_alone_and_others_were_answered() {
        let mut unanswered = TimeoutAttribution::default();
        let silence = || Outcome::retry(RetryCause::Unanswered, "no answer in 10 s");
        let in_company = settle(&mut unanswered, silence(), 9, false, NOW_MS);
        assert_eq!(in_company, Settled::RetryAt { not_before_ms: NOW_MS + 400 });
        assert_eq!(unanswered.company(7), Some(9), "next time it goes with fewer");
        let nobody_was = settle(&mut unanswered, silence(), 1, false, NOW_MS);
        assert_eq!(nobody_was, Settled::RetryAt { not_before_ms: NOW_MS + 400 }, "the sink itself may be ill");
        let others_were = settle_after(&mut unanswered, 1, silence(), 1, false, NOW_MS);
        assert!(matches!(others_were, Settled::Failed { .. }));
        let not_since = settle_after(&mut unanswered, 1, silence(), 1, false, NOW_MS);
        assert!(matches!(not_since, Settled::RetryAt { .. }));
        assert_eq!(settle(&mut unanswered, Outcome::Done, 1, false, NOW_MS), Settled::Done);
        assert_eq!(unanswered.company(7), None);
    }

    #[test]
    fn a_delete_after_silence_is_made_again_when_the_put_can_no_longer_come() {
        let mut unanswered = TimeoutAttribution::default();
        settle(&mut unanswered, Outcome::retry(RetryCause::Unanswered, "no answer"), 9, false, NOW_MS);
        let first = settle(&mut unanswered, Outcome::Done, 9, true, NOW_MS + 1);
        assert_eq!(first, Settled::RetryAt { not_before_ms: NOW_MS + 30_000 });
        assert_eq!(settle(&mut unanswered, Outcome::Done, 9, true, NOW_MS + 30_000), Settled::Done);
    }
}
