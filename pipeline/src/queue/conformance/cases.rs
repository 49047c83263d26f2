//! The promises of every queue, one case each.

use std::collections::BTreeSet;
use std::time::Duration;

use super::bench::{ATTEMPTS_MAX, KEPT, QUARANTINED, QueueBench, REMOVED, work};
use crate::change::ChangeKind;
use crate::clock::Clock;
use crate::position::Position;
use crate::queue::settle::{SettleReport, Settled, Taken};
use crate::queue::stats::QueueStats;
use crate::queue::work::Work;
use uuid::Uuid;

pub(super) async fn changes_of_one_document_are_one_entry(bench: QueueBench<'_>) {
    bench.put(ChangeKind::Identity, 1, 10).await;
    let first_ms = bench.clock.now_ms();
    bench.clock.advance(50);
    for version in 11..=110 {
        bench.put(ChangeKind::Upsert, 1, version).await;
    }
    let stats = bench.stats().await;
    assert_eq!((stats.depth, stats.oldest_age_ms), (1, 50));
    let taken = bench.take_one().await;
    assert_eq!((taken.work.version, taken.work.xid), (110, 10_110), "the newest version and its transaction");
    assert_eq!(taken.work.first_enqueued_at_ms, first_ms, "the age of the oldest");
    assert!(taken.work.cascade && taken.work.rebuild, "a rename keeps its cascade through later edits");
    bench.put(ChangeKind::Delete, 1, 111).await;
    assert_eq!(bench.settle(&taken, Settled::Done).await, KEPT);
    let taken = bench.take_one().await;
    assert!(taken.work.deleted && taken.work.cascade && !taken.work.rebuild, "a delete absorbs the rebuild");
    assert_eq!(bench.settle(&taken, Settled::Done).await, REMOVED);
    assert_eq!(bench.stats().await, QueueStats::default());
}

pub(super) async fn the_oldest_goes_first_and_touches_get_their_share(bench: QueueBench<'_>) {
    for document_id in 1..=4 {
        bench.put(ChangeKind::Touch, document_id, document_id).await;
        bench.clock.advance(1);
    }
    for document_id in 11..=18 {
        bench.put(ChangeKind::Upsert, document_id, document_id).await;
        bench.clock.advance(1);
    }
    let stats = bench.stats().await;
    assert_eq!((stats.depth, stats.touches, stats.oldest_age_ms), (12, 4, 12));
    assert_eq!(bench.take_ids(8).await, [11, 12, 13, 1, 14, 15, 16, 2]);
    assert_eq!(bench.take_ids(8).await, [17, 18, 3, 4], "an empty line reserves no share");
}

pub(super) async fn an_edit_raises_a_touch(bench: QueueBench<'_>) {
    for document_id in 1..=3 {
        bench.put(ChangeKind::Touch, document_id, document_id).await;
    }
    bench.clock.advance(5);
    bench.put(ChangeKind::Upsert, 9, 9).await;
    bench.put(ChangeKind::Upsert, 3, 10).await;
    assert_eq!(bench.stats().await.touches, 2);
    assert_eq!(bench.take_ids(3).await, [3, 9, 1], "it keeps its age among the direct edits");
    bench.put(ChangeKind::Upsert, 1, 11).await;
    assert_eq!(bench.stats().await.touches, 1, "also while it is in flight");
}

pub(super) async fn what_is_in_flight_is_not_taken_twice(bench: QueueBench<'_>) {
    bench.put(ChangeKind::Upsert, 1, 1).await;
    let taken = bench.take_one().await;
    assert_eq!(bench.take(10).await, []);
    bench.put(ChangeKind::Upsert, 1, 2).await;
    assert_eq!(bench.take(10).await, [], "not even when it is edited meanwhile");
    assert_eq!((bench.stats().await.depth, bench.stats().await.in_flight), (1, 1));
    bench.settle(&taken, Settled::Done).await;
    let again = bench.take_one().await;
    assert_eq!(again.work.version, 2);
    assert_ne!(again.ticket, taken.ticket);
    let unknown = SettleReport { unknown: 1, ..SettleReport::default() };
    assert_eq!(bench.settle(&taken, Settled::Done).await, unknown, "an old ticket settles nothing");
    assert_eq!(bench.settle(&again, Settled::Done).await, REMOVED);
    assert_eq!(bench.settle(&again, Settled::Done).await, unknown);
}

pub(super) async fn what_was_added_to_survives_its_acknowledgement(bench: QueueBench<'_>) {
    let reports = [
        Settled::Done,
        Settled::RetryAt { not_before_ms: u64::MAX },
        Settled::Quarantine { reason: "no".to_owned() },
        Settled::Failed { not_before_ms: u64::MAX, reason: "no".to_owned() },
        Settled::Remaining { rebuild: false, cascade: false, not_before_ms: 0 },
    ];
    for (document_id, settled) in (1..).zip(reports) {
        bench.put(ChangeKind::Identity, document_id, 1).await;
        let taken = bench.take_one().await;
        bench.put(ChangeKind::Upsert, document_id, 2).await;
        assert_eq!(bench.settle(&taken, settled).await, KEPT);
        let taken = bench.take_one().await;
        assert!(taken.work.version == 2 && taken.work.rebuild && taken.work.cascade && taken.work.attempts == 0);
        bench.settle(&taken, Settled::Done).await;
    }
    // The same version put again is a request to repeat the work, for instance a repair.
    bench.put(ChangeKind::Upsert, 9, 1).await;
    let taken = bench.take_one().await;
    bench.put(ChangeKind::Upsert, 9, 1).await;
    assert_eq!(bench.settle(&taken, Settled::Done).await, KEPT);
}

pub(super) async fn what_is_done_does_not_age_what_was_added(bench: QueueBench<'_>) {
    bench.put(ChangeKind::Upsert, 1, 1).await;
    bench.put(ChangeKind::Upsert, 2, 1).await;
    for version in 2..=5 {
        bench.clock.advance(100);
        let taken = bench.take(2).await;
        for document_id in [1, 2] {
            bench.put(ChangeKind::Upsert, document_id, version).await;
            bench.clock.advance(7);
            bench.put(ChangeKind::Upsert, document_id, version).await;
        }
        for taken in &taken {
            let tried = Settled::RetryAt { not_before_ms: u64::MAX };
            let settled = if taken.work.document_id == 1 { Settled::Done } else { tried };
            assert_eq!(bench.settle(taken, settled).await, KEPT);
        }
    }
    let taken = bench.take(2).await;
    let ages = taken.iter().map(|taken| (taken.work.document_id, 1_000_456 - taken.work.first_enqueued_at_ms));
    assert_eq!(ages.collect::<Vec<_>>(), [(2, 456), (1, 14)], "a document that is edited all the time is not late");
}

pub(super) async fn an_older_redelivery_does_not_hold_up_an_acknowledgement(bench: QueueBench<'_>) {
    bench.put(ChangeKind::Upsert, 1, 5).await;
    let taken = bench.take_one().await;
    bench.put(ChangeKind::Upsert, 1, 4).await;
    assert_eq!(bench.settle(&taken, Settled::Done).await, REMOVED);
    bench.put(ChangeKind::Upsert, 1, 5).await;
    let taken = bench.take_one().await;
    bench.put(ChangeKind::Identity, 1, 4).await;
    assert_eq!(bench.settle(&taken, Settled::Done).await, KEPT, "an older cascade that was not known is pending");
    assert!(bench.take_one().await.work.cascade);
}

pub(super) async fn a_retry_waits_and_counts_no_attempt(bench: QueueBench<'_>) {
    bench.put(ChangeKind::Upsert, 1, 1).await;
    bench.put(ChangeKind::Touch, 2, 2).await;
    let due_ms = bench.clock.now_ms() + 100;
    for taken in bench.take(2).await {
        assert_eq!(bench.settle(&taken, Settled::RetryAt { not_before_ms: due_ms }).await, KEPT);
    }
    let stats = bench.stats().await;
    assert_eq!((stats.depth, stats.delayed, stats.touches, stats.in_flight), (2, 2, 0, 0));
    bench.clock.advance(99);
    assert_eq!(bench.take(10).await, []);
    assert_eq!(bench.stats().await.oldest_age_ms, 99, "waiting does not make it younger");
    bench.put(ChangeKind::Upsert, 2, 3).await;
    assert_eq!(bench.take_ids(10).await, [2], "a newer version does not wait for an older one's retry");
    bench.clock.advance(1);
    let taken = bench.take_one().await;
    assert_eq!((taken.work.document_id, taken.work.attempts), (1, 0));
    assert_eq!(bench.settle(&taken, Settled::RetryAt { not_before_ms: 0 }).await, KEPT);
    assert_eq!(bench.take_ids(10).await, [1], "0 means at once");
}

pub(super) async fn what_remains_is_taken_again(bench: QueueBench<'_>) {
    bench.put(ChangeKind::Identity, 1, 1).await;
    let taken = bench.take_one().await;
    let cascade = Settled::Remaining { rebuild: false, cascade: true, not_before_ms: 0 };
    assert_eq!(bench.settle(&taken, cascade).await, KEPT);
    let taken = bench.take_one().await;
    assert!(taken.work.cascade && !taken.work.rebuild);
    let more_than_pending = Settled::Remaining { rebuild: true, cascade: false, not_before_ms: 0 };
    assert_eq!(bench.settle(&taken, more_than_pending).await, REMOVED, "work that is not pending does not remain");
}

async fn fail(bench: &QueueBench<'_>, times: u32) {
    for attempt in 0..times {
        let taken = bench.take_one().await;
        assert_eq!(taken.work.attempts, attempt);
        let reason = format!("attempt {attempt}");
        let report = bench.settle(&taken, Settled::Failed { not_before_ms: 1, reason }).await;
        assert_eq!(report, if attempt + 1 == ATTEMPTS_MAX { QUARANTINED } else { KEPT });
        bench.clock.advance(10);
    }
}

pub(super) async fn poison_goes_to_quarantine_and_holds_up_nothing(mut bench: QueueBench<'_>) {
    bench.put(ChangeKind::Identity, 1, 1).await;
    let first_ms = bench.clock.now_ms();
    fail(&bench, ATTEMPTS_MAX).await;
    bench.put(ChangeKind::Upsert, 2, 2).await;
    assert_eq!(bench.take_ids(10).await, [2]);
    bench.put(ChangeKind::Upsert, 3, 3).await;
    let taken = bench.take_one().await;
    let long = "ü".repeat(10_000);
    assert_eq!(bench.settle(&taken, Settled::Quarantine { reason: long }).await, QUARANTINED);
    bench.put(ChangeKind::Upsert, 1, 1).await;
    bench.reopen().await;
    assert_eq!(bench.take_ids(10).await, [2], "the same version and a restart do not release it");
    let stats = bench.stats().await;
    assert_eq!((stats.depth, stats.quarantined), (1, 2));
    let listed = bench.queue.quarantined(None, 10).await.expect("list");
    assert_eq!(listed.iter().map(|listed| listed.work.document_id).collect::<Vec<_>>(), [1, 3]);
    assert_eq!((listed[0].reason.as_str(), listed[0].work.attempts), ("attempt 2", ATTEMPTS_MAX));
    assert_eq!((listed[0].first_failed_at_ms, listed[0].last_failed_at_ms), (first_ms, first_ms + 20));
    assert!(listed[0].work.cascade && listed[1].reason.starts_with('ü') && listed[1].reason.len() < 10_000);
    assert_eq!(bench.queue.quarantined(None, 1).await.expect("list"), listed[..1]);
    assert_eq!(bench.queue.quarantined(Some(1), 10).await.expect("list"), listed[1..]);
}

pub(super) async fn a_newer_version_leaves_quarantine_by_itself(bench: QueueBench<'_>) {
    bench.put(ChangeKind::Identity, 1, 1).await;
    fail(&bench, ATTEMPTS_MAX).await;
    bench.put(ChangeKind::Upsert, 1, 2).await;
    assert_eq!(bench.stats().await.quarantined, 0);
    let taken = bench.take_one().await;
    assert_eq!((taken.work.version, taken.work.attempts, taken.work.cascade), (2, 0, true));
    bench.settle(&taken, Settled::RetryAt { not_before_ms: 0 }).await;
    fail(&bench, ATTEMPTS_MAX).await;
}

pub(super) async fn an_operator_releases_and_discards(bench: QueueBench<'_>) {
    for document_id in 1..=3 {
        bench.put(ChangeKind::Upsert, document_id, 1).await;
        let taken = bench.take_one().await;
        bench.settle(&taken, Settled::Quarantine { reason: "no".to_owned() }).await;
    }
    bench.put(ChangeKind::Upsert, 4, 1).await;
    assert_eq!(bench.queue.release(vec![1, 2, 4, 5]).await.expect("release"), 2);
    assert_eq!(bench.queue.discard(vec![3, 3, 4, 5]).await.expect("discard"), 1);
    let taken = bench.take(10).await;
    assert_eq!(taken.iter().map(|taken| taken.work.document_id).collect::<Vec<_>>(), [1, 2, 4]);
    assert!(taken.iter().all(|taken| taken.work.attempts == 0));
    assert_eq!(bench.stats().await.quarantined, 0);
}

pub(super) async fn positions_never_go_back_by_themselves(mut bench: QueueBench<'_>) {
    let put = async |bench: &QueueBench<'_>, position| bench.queue.put(vec![], Some(position)).await.expect("put");
    assert_eq!(bench.queue.position().await.expect("position"), None);
    put(&bench, Position::within(7, 3)).await;
    put(&bench, Position::within(7, 2)).await;
    put(&bench, Position::before(7)).await;
    let epoch = bench.queue.epoch();
    bench.reopen().await;
    assert_eq!(bench.queue.position().await.expect("position"), Some(Position::within(7, 3)));
    assert_eq!(bench.queue.epoch(), epoch, "the epoch lives as long as the queue");
    bench.queue.reset_position(Position::before(5)).await.expect("reset");
    bench.reopen().await;
    assert_eq!(bench.queue.position().await.expect("position"), Some(Position::before(5)));
}

pub(super) async fn a_restart_keeps_what_was_put_and_settled(mut bench: QueueBench<'_>) {
    for document_id in -3..=6 {
        bench.put(ChangeKind::Upsert, document_id, 1).await;
        bench.clock.advance(1);
    }
    let taken = bench.take(6).await;
    bench.settle(&taken[0], Settled::Done).await;
    bench.settle(&taken[4], Settled::Done).await;
    bench.settle(&taken[2], Settled::RetryAt { not_before_ms: bench.clock.now_ms() + 5 }).await;
    bench.reopen().await;
    let stats = bench.stats().await;
    let mut due = bench.take_ids(10).await;
    if bench.fixture.remembers_what_is_settled() {
        assert_eq!(stats.depth, 8);
    } else {
        let settled = [taken[0].work.document_id, taken[4].work.document_id];
        assert_eq!(stats.depth as usize, 1 + due.len(), "only settled work may come again");
        due.retain(|document_id| !settled.contains(document_id));
    }
    assert_eq!((stats.in_flight, stats.delayed), (0, 1));
    assert_eq!(due, [-2, 0, 2, 3, 4, 5, 6]);
    bench.clock.advance(5);
    assert_eq!(bench.take_ids(10).await, [-1]);
}

pub(super) async fn waiting_ends_when_work_arrives_or_falls_due(bench: QueueBench<'_>) {
    let pending = async |bench: &QueueBench<'_>| {
        let mut ready = bench.queue.ready();
        // Long enough for an entry that is already there.
        tokio::time::timeout(Duration::from_millis(20), &mut ready).await.is_err()
    };
    assert!(pending(&bench).await);
    let (ready, ()) = tokio::join!(bench.queue.ready(), bench.put(ChangeKind::Upsert, 1, 1));
    ready.expect("ready");
    let taken = bench.take_one().await;
    assert!(pending(&bench).await, "what is in flight is not ready");
    let due_ms = bench.clock.now_ms() + 500;
    bench.settle(&taken, Settled::RetryAt { not_before_ms: due_ms }).await;
    assert!(pending(&bench).await);
    let (ready, ()) = tokio::join!(bench.queue.ready(), async { bench.clock.advance(500) });
    ready.expect("ready");
    assert_eq!(bench.take_ids(1).await, [1]);
}

pub(super) async fn many_takers_share_the_work_without_overlap(bench: QueueBench<'_>) {
    const DOCUMENTS: i64 = 5_000;
    let now_ms = bench.clock.now_ms();
    let putter = async {
        for first in (1..=DOCUMENTS).step_by(100) {
            let batch = (first..first + 100).map(|id| work(ChangeKind::Upsert, id, id, now_ms)).collect();
            bench.queue.put(batch, Some(Position::before(first as u64))).await.expect("put");
        }
    };
    let taker = async || {
        let mut done = Vec::new();
        while bench.queue.position().await.expect("position") < Some(Position::before(DOCUMENTS as u64 - 99))
            || bench.stats().await.depth > 0
        {
            let taken = bench.take(37).await;
            done.extend(taken.iter().map(|taken| taken.work.document_id));
            let settled = taken.iter().map(|taken| (taken.ticket, Settled::Done)).collect();
            bench.queue.settle(settled).await.expect("settle");
            tokio::task::yield_now().await;
        }
        done
    };
    let ((), a, b, c) = tokio::join!(putter, taker(), taker(), taker());
    let all: Vec<i64> = [a, b, c].concat();
    assert_eq!(all.len() as i64, DOCUMENTS, "each document was taken once");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len() as i64, DOCUMENTS);
}

/// After a restore, versions, transaction ids and even DocumentIds mean something else.
pub(super) async fn work_of_a_new_history_replaces_that_of_a_lost_one(mut bench: QueueBench<'_>) {
    bench.put(ChangeKind::Identity, 1, 500).await;
    bench.put(ChangeKind::Delete, 2, 501).await;
    bench.put(ChangeKind::Upsert, 3, 502).await;
    bench.reopen().await;
    let now_ms = bench.clock.now_ms();
    let edited = Work { history: 7, ..work(ChangeKind::Upsert, 1, 60, now_ms) };
    let another = Uuid::from_u128(0xA);
    let reused = Work { history: 7, document_uuid: another, ..work(ChangeKind::Upsert, 2, 61, now_ms) };
    bench.queue.put(vec![edited, reused], None).await.expect("put");
    bench.put(ChangeKind::Upsert, 1, 503).await;
    let mut taken = bench.take(10).await;
    taken.sort_by_key(|taken| taken.work.document_id);
    let found: Vec<_> = taken.iter().map(|Taken { work, .. }| (work.history, work.version, work.xid)).collect();
    assert_eq!(found, [(7, 60, 10_060), (7, 61, 10_061), (0, 502, 10_502)]);
    assert!(taken[0].work.cascade, "what is pending stays pending");
    assert_eq!((taken[1].work.document_uuid, taken[1].work.deleted), (another, false), "another document");
}
