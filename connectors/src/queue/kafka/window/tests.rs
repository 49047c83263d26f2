//! The window's promise: no unfinished record lies before the offset that may be committed, in any interleaving.

use millstream_pipeline::ChangeKind;
use millstream_pipeline::queue::Settled;
use millstream_pipeline::queue::conformance::work;

use super::settling::Settling;
use super::*;

const NOW_MS: u64 = 1_000;

fn put(window: &mut Window, offset: i64, document_id: i64, version: i64) -> Option<MaintenanceWrite> {
    window.take_in(0, offset, Arrival::Put(work(ChangeKind::Upsert, document_id, version, 10)))
}

fn window() -> Window {
    let mut window = Window::default();
    window.assign(0, 0, Vec::new());
    window
}

fn finished(window: &Window) -> i64 {
    window.finished().next().expect("a partition").1
}

fn take_one(window: &mut Window) -> Taken {
    let mut taken = window.take(1, NOW_MS);
    assert_eq!(taken.len(), 1, "there should be something to take");
    taken.remove(0)
}

fn begin(window: &mut Window, taken: &Taken, settled: Settled) -> Settling {
    window.begin_settle(taken.ticket, settled, NOW_MS, 3).expect("the ticket is good")
}

fn no_reason() -> Settled {
    Settled::Quarantine { reason: "no".to_owned() }
}

#[test]
fn only_a_contiguous_prefix_is_finished() {
    let mut window = window();
    for offset in 0..4 {
        put(&mut window, offset, offset + 1, 1);
    }
    let taken = window.take(4, NOW_MS);
    for at in [1, 3] {
        let settling = begin(&mut window, &taken[at], Settled::Done);
        window.finish_settle(&settling, None);
        assert_eq!(finished(&window), 0, "the first one is not done");
    }
    let first = begin(&mut window, &taken[0], Settled::Done);
    assert_eq!(finished(&window), 0, "decided is not written");
    window.finish_settle(&first, None);
    assert_eq!(finished(&window), 2);
    assert_eq!(window.in_flight(&[0]), 1);
}

#[test]
fn an_entry_holds_its_oldest_record_for_all_that_were_added_to_it() {
    let mut window = window();
    for offset in 0..100 {
        put(&mut window, offset, 7, offset + 1);
    }
    assert_eq!((finished(&window), window.occupied()), (0, (1, 0)));
    let taken = take_one(&mut window);
    assert_eq!(taken.work.version, 100);
    let settling = begin(&mut window, &taken, Settled::Done);
    put(&mut window, 100, 7, 101);
    window.finish_settle(&settling, None);
    assert_eq!(finished(&window), 100, "work that arrived while its removal was written is pending");
    assert_eq!(take_one(&mut window).work.version, 101);
}

#[test]
fn an_entry_that_is_carried_holds_its_new_record_or_what_was_added_meanwhile() {
    let mut window = window();
    put(&mut window, 0, 7, 1);
    let taken = take_one(&mut window);
    let settling = begin(&mut window, &taken, Settled::RetryAt { not_before_ms: NOW_MS + 5 });
    let carry = settling.carry.clone().expect("it goes on");
    put(&mut window, 1, 8, 1);
    assert!(window.is_own_carry(0, carry.number));
    window.take_in(0, 2, Arrival::OwnCarry(carry.number));
    assert_eq!(finished(&window), 0, "it is not acknowledged yet");
    window.finish_settle(&settling, Some(2));
    let other = take_one(&mut window);
    let settling = begin(&mut window, &other, Settled::Done);
    window.finish_settle(&settling, None);
    assert_eq!(finished(&window), 2, "all before the new record is finished");
    assert_eq!((window.take(1, NOW_MS), window.next_ms()), (vec![], Some(NOW_MS + 5)));

    let again = window.take(1, NOW_MS + 5).remove(0);
    let settling = begin(&mut window, &again, Settled::RetryAt { not_before_ms: 0 });
    put(&mut window, 3, 7, 2);
    window.finish_settle(&settling, Some(4));
    assert_eq!(finished(&window), 3, "the carried record does not have what came before it in the log");
}

#[test]
fn a_straggler_is_carried_even_in_flight_and_settled_all_the_same() {
    let mut window = window();
    put(&mut window, 0, 7, 1);
    let taken = take_one(&mut window);
    for offset in 1..=50 {
        put(&mut window, offset, 1_000 + offset, 1);
    }
    for taken in window.take(50, NOW_MS) {
        let settling = begin(&mut window, &taken, Settled::Done);
        window.finish_settle(&settling, None);
    }
    assert_eq!(finished(&window), 0);
    assert_eq!(window.carry_stragglers(100, 10), [], "it is not far behind");
    let carries = window.carry_stragglers(20, 10);
    assert_eq!(carries.len(), 1);
    assert_eq!(window.carry_stragglers(20, 10), [], "once is enough");
    window.finish_carry(&carries[0], Some(51));
    assert_eq!(finished(&window), 51);
    window.take_in(0, 51, Arrival::OwnCarry(carries[0].number));
    let settling = begin(&mut window, &taken, Settled::Done);
    assert_eq!(settling.outcome, millstream_pipeline::queue::entry::QueueOutcome::Removed, "nothing new was added");
    window.finish_settle(&settling, None);
    assert_eq!((finished(&window), window.occupied()), (52, (0, 0)));
}

#[test]
fn what_another_member_carried_goes_on_where_it_was() {
    let mut window = window();
    put(&mut window, 0, 7, 1);
    let mut carried = Entry::new(work(ChangeKind::Upsert, 7, 1, 10));
    (carried.work.attempts, carried.work.not_before_ms) = (2, NOW_MS + 9);
    window.take_in(0, 1, Arrival::Carried(carried));
    assert_eq!(window.take(1, NOW_MS), []);
    assert_eq!(window.take(1, NOW_MS + 9)[0].work.attempts, 2);
}

#[test]
fn quarantine_is_written_before_its_record_is_finished() {
    let mut window = window();
    put(&mut window, 0, 7, 1);
    let taken = take_one(&mut window);
    let settling = begin(&mut window, &taken, no_reason());
    assert!(settling.mirror && window.quarantine_of(7).is_some());
    assert_eq!(finished(&window), 0);
    assert_eq!(window.finish_settle(&settling, None), None);
    assert_eq!((finished(&window), window.quarantined().count()), (1, 1));
    assert_eq!(put(&mut window, 1, 7, 1), None);
    assert_eq!(finished(&window), 2, "nothing new: the quarantine entry has it all");
    let rename = Arrival::Put(work(ChangeKind::Identity, 7, 1, 10));
    assert_eq!(window.take_in(0, 2, rename), Some(MaintenanceWrite::Mirror { document_id: 7 }));
    let number = window.begin_mirror(7).expect("it is in quarantine");
    assert_eq!(finished(&window), 2);
    window.finish_mirror(7, number);
    assert_eq!(finished(&window), 3);
    assert_eq!(put(&mut window, 3, 7, 2), None);
    let taken = take_one(&mut window);
    assert!(taken.work.cascade && taken.work.version == 2, "a newer version brings back all the pending work");
    let settling = begin(&mut window, &taken, Settled::Done);
    assert!(settling.mirror && window.quarantine_of(7).is_none(), "the quarantine entry is removed");
    window.finish_settle(&settling, None);
    assert_eq!(finished(&window), 4);
}

#[test]
fn a_newer_version_that_ends_a_quarantine_before_it_is_written_holds_all_its_records() {
    let mut window = window();
    let rename = Arrival::Put(work(ChangeKind::Identity, 7, 1, 10));
    assert_eq!(window.take_in(0, 0, rename), None);
    let taken = take_one(&mut window);
    let settling = begin(&mut window, &taken, no_reason());
    put(&mut window, 1, 7, 2);
    assert_eq!(window.quarantine_of(7), None, "the quarantine topic gets a tombstone");
    assert_eq!(window.finish_settle(&settling, None), None);
    assert_eq!(finished(&window), 0, "the cascade is only in the first record");
    let taken = take_one(&mut window);
    assert!(taken.work.cascade && taken.work.version == 2);
    let settling = begin(&mut window, &taken, Settled::Done);
    assert!(settling.mirror, "the write may have begun before the second record was read");
    window.finish_settle(&settling, None);
    assert_eq!((finished(&window), window.occupied()), (2, (0, 0)));
}

#[test]
fn a_command_means_the_failure_that_was_seen() {
    let mut window = window();
    put(&mut window, 0, 7, 1);
    let taken = take_one(&mut window);
    let settling = begin(&mut window, &taken, no_reason());
    window.finish_settle(&settling, None);
    let command = |last_failed_at_ms| QuarantineCommand { document_id: 7, last_failed_at_ms };
    assert_eq!(window.take_in(0, 1, Arrival::Discard(command(NOW_MS - 1))), None, "that one is over");
    assert_eq!(window.quarantined().count(), 1);
    let Some(MaintenanceWrite::Forget { held, .. }) = window.take_in(0, 2, Arrival::Discard(command(NOW_MS))) else {
        panic!("it is given up")
    };
    assert_eq!((window.quarantined().count(), finished(&window)), (0, 2));
    window.let_go(held);
    assert_eq!(finished(&window), 3);
}

#[test]
fn a_partition_that_was_let_go_of_leaves_nothing_behind() {
    let mut window = window();
    put(&mut window, 0, 7, 1);
    put(&mut window, 1, 8, 1);
    let taken = take_one(&mut window);
    window.hold_back(&[0]);
    assert_eq!((window.take(9, NOW_MS), window.in_flight(&[0])), (vec![], 1));
    let settling = begin(&mut window, &taken, Settled::RetryAt { not_before_ms: 0 });
    window.release(&[0]);
    window.assign(0, 0, Vec::new());
    put(&mut window, 0, 7, 1);
    assert_eq!(window.finish_settle(&settling, Some(5)), None);
    assert_eq!(finished(&window), 0, "a settlement of before settles nothing");
    let carry = settling.carry.expect("it went on");
    assert!(
        !window.is_own_carry(0, carry.number),
        "an entry carried under an earlier assignment is read like any other"
    );
    assert_eq!(window.take(9, NOW_MS).len(), 1);
}

#[test]
fn what_could_not_be_written_is_owed_as_before() {
    let mut window = window();
    put(&mut window, 0, 7, 1);
    let taken = take_one(&mut window);
    let settling = begin(&mut window, &taken, Settled::Done);
    put(&mut window, 1, 7, 2);
    window.abort_settle(settling);
    assert_eq!((take_one(&mut window).work.version, finished(&window)), (2, 0));
}
