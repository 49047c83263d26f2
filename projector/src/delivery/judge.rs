//! What a sink's answer means for the entry in its lane.

use crate::backoff::Backoff;
use crate::sink::{Outcome, RetryCause};
use millstream_outbox::queue::{Settled, Taken};
use std::collections::HashMap;
use std::time::Duration;

/// Documents remembered at most of those whose answer did not come. Beyond it the knowledge is dropped, which costs a
/// second delete its certainty and nothing else.
const REMEMBERED_MAX: usize = 100_000;

/// What is known of requests that were not answered: they may be carried out still.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    /// Until when, by document.
    until_ms: HashMap<i64, u64>,
}

/// How long to wait before trying again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// After one document failed.
    pub(super) poison: Backoff,
    /// After the sink could not be reached or asked for less.
    pub(super) outage: Backoff,
    /// How long a request may still be carried out ([`crate::sink::Limits::request_life_max`]).
    pub(super) request_life_max: Duration,
}

/// One answer, with what is needed to judge it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    pub(super) taken: &'a Taken,
    pub(super) deleted: bool,
    /// It was delivered by itself: what went wrong is its own fault.
    pub(super) alone: bool,
    pub(super) outcome: &'a Outcome,
    /// Rounds in a row in which the sink could not be reached or asked for less, this one included.
    pub(super) outages: u32,
    pub(super) now_ms: u64,
}

impl Unanswered {
    /// Whether this document's last request was not answered: it is to be tried by itself.
    pub(super) fn contains(&self, document_id: i64) -> bool {
        self.until_ms.contains_key(&document_id)
    }

    fn remember(&mut self, document_id: i64, until_ms: u64) {
        if self.until_ms.len() >= REMEMBERED_MAX {
            self.until_ms.clear();
        }
        self.until_ms.insert(document_id, until_ms);
    }

    /// What becomes of the entry.
    pub(super) fn settle(&mut self, answer: Answer<'_>, patience: &Patience) -> Settled {
        let Answer { taken, deleted, alone, outcome, outages, now_ms } = answer;
        let (id, attempts) = (taken.work.document_id, taken.work.attempts.saturating_add(1));
        let after = |delay: Duration| now_ms.saturating_add(delay.as_millis() as u64);
        let failed = |reason: &str| Settled::Failed {
            not_before_ms: after(patience.poison.delay(attempts)),
            reason: reason.to_owned(),
        };
        match outcome {
            Outcome::Done | Outcome::Superseded => match self.until_ms.remove(&id) {
                // The put that was not answered may still come after this delete: delete again when it no longer can.
                Some(until_ms) if deleted && until_ms > now_ms => Settled::RetryAt { not_before_ms: until_ms },
                _ => Settled::Done,
            },
            Outcome::Rejected { reason } | Outcome::Retry { cause: RetryCause::Failed, reason } => failed(reason),
            Outcome::Retry { cause: RetryCause::Unanswered, reason } => {
                self.remember(id, after(patience.request_life_max));
                // In company nobody knows whose fault it was. Next time it goes by itself.
                if alone { failed(reason) } else { Settled::RetryAt { not_before_ms: now_ms } }
            }
            Outcome::Retry { cause: RetryCause::Throttled | RetryCause::Unavailable, .. } => {
                Settled::RetryAt { not_before_ms: after(patience.outage.delay(outages)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_outbox::queue::{Ticket, Work};
    use uuid::Uuid;

    const NOW_MS: u64 = 1_000_000;

    fn taken(attempts: u32) -> Taken {
        let work = Work {
            document_id: 7,
            document_uuid: Uuid::from_u128(7),
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
        Taken { ticket: Ticket::new(7, 1), work }
    }

    fn patience() -> Patience {
        let backoff = |base_ms, ceiling_ms| Backoff {
            base: Duration::from_millis(base_ms),
            ceiling: Duration::from_millis(ceiling_ms),
        };
        Patience {
            poison: backoff(1_000, 60_000),
            outage: backoff(100, 5_000),
            request_life_max: Duration::from_secs(30),
        }
    }

    fn settle(unanswered: &mut Unanswered, outcome: Outcome, alone: bool, deleted: bool, now_ms: u64) -> Settled {
        let taken = taken(1);
        unanswered.settle(Answer { taken: &taken, deleted, alone, outcome: &outcome, outages: 3, now_ms }, &patience())
    }

    #[test]
    fn what_the_sink_refuses_counts_and_what_keeps_it_from_answering_does_not() {
        let mut unanswered = Unanswered::default();
        let refused = Outcome::Rejected { reason: "no date".to_owned() };
        let expected = Settled::Failed { not_before_ms: NOW_MS + 2_000, reason: "no date".to_owned() };
        assert_eq!(settle(&mut unanswered, refused, false, false, NOW_MS), expected);
        for cause in [RetryCause::Throttled, RetryCause::Unavailable] {
            let settled = settle(&mut unanswered, Outcome::retry(cause, "away"), true, false, NOW_MS);
            assert_eq!(settled, Settled::RetryAt { not_before_ms: NOW_MS + 400 });
        }
    }

    #[test]
    fn silence_is_blamed_on_a_document_only_when_it_was_alone() {
        let mut unanswered = Unanswered::default();
        let silence = || Outcome::retry(RetryCause::Unanswered, "no answer in 10 s");
        let in_company = settle(&mut unanswered, silence(), false, false, NOW_MS);
        assert_eq!(in_company, Settled::RetryAt { not_before_ms: NOW_MS });
        assert!(unanswered.contains(7), "next time it goes by itself");
        assert!(matches!(settle(&mut unanswered, silence(), true, false, NOW_MS), Settled::Failed { .. }));
        assert_eq!(settle(&mut unanswered, Outcome::Done, true, false, NOW_MS), Settled::Done);
        assert!(!unanswered.contains(7));
    }

    #[test]
    fn a_delete_after_silence_is_made_again_when_the_put_can_no_longer_come() {
        let mut unanswered = Unanswered::default();
        settle(&mut unanswered, Outcome::retry(RetryCause::Unanswered, "no answer"), false, false, NOW_MS);
        let first = settle(&mut unanswered, Outcome::Done, false, true, NOW_MS + 1);
        assert_eq!(first, Settled::RetryAt { not_before_ms: NOW_MS + 30_000 });
        assert_eq!(settle(&mut unanswered, Outcome::Done, false, true, NOW_MS + 30_000), Settled::Done);
    }
}
