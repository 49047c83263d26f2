//! The suite that every [`WorkQueue`](super::WorkQueue) passes, and every lane. A test calls [`run`] with a
//! [`QueueFixture`] of its implementation; further promises of lanes are in [`lanes`].

mod bench;
mod cases;
pub mod lanes;

pub use self::bench::{ATTEMPTS_MAX, QueueFixture, work};
use self::bench::{DEADLINE, QueueBench};
use crate::clock::ManualClock;

/// Runs the whole suite, each case on a new queue from `fixture`.
///
/// # Panics
/// When the queue breaks a promise; the message says which.
pub async fn run<F: QueueFixture>(mut fixture: impl FnMut() -> F) {
    macro_rules! cases {
        ($($case:ident),* $(,)?) => {$({
            let mut fixture = fixture();
            let clock = ManualClock::at(1_000_000);
            let queue = fixture.open(clock.clone()).await;
            let bench = QueueBench { fixture: &mut fixture, clock, queue };
            let done = tokio::time::timeout(DEADLINE, cases::$case(bench)).await;
            assert!(done.is_ok(), concat!(stringify!($case), " did not end"));
        })*};
    }
    cases!(
        changes_of_one_document_are_one_entry,
        the_oldest_goes_first_and_touches_get_their_share,
        an_edit_raises_a_touch,
        what_is_in_flight_is_not_taken_twice,
        what_was_added_to_survives_its_acknowledgement,
        what_is_done_does_not_age_what_was_added,
        an_older_redelivery_does_not_hold_up_an_acknowledgement,
        a_retry_waits_and_counts_no_attempt,
        what_remains_is_taken_again,
        poison_goes_to_quarantine_and_holds_up_nothing,
        a_newer_version_leaves_quarantine_by_itself,
        an_operator_releases_and_discards,
        work_of_a_new_history_replaces_that_of_a_lost_one,
        positions_never_go_back_by_themselves,
        a_restart_keeps_what_was_put_and_settled,
        waiting_ends_when_work_arrives_or_falls_due,
        many_takers_share_the_work_without_overlap,
    );
}
