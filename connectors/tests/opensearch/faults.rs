//! A node that does not respond, responds partly, or refuses for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millstream_connectors::sink::opensearch::OpenSearchOptions;
use millstream_pipeline::sink::{Delivery, Outcome, RetryCause, Sink};
use millstream_testkit::{Exchange, Fault, HttpFaultProxy, OpenSearchNode, wait_until};

use crate::support::{assert_all_done, delete, new_prefix, open, options, state, upsert};

const DOCUMENTS: u128 = 40;
const WITHIN: Duration = Duration::from_secs(90);

/// A sink behind a proxy, with existing indexes.
async fn behind_a_proxy(answer_timeout: Duration) -> (HttpFaultProxy, Arc<dyn Sink>) {
    let node = OpenSearchNode::shared().await;
    let proxy = HttpFaultProxy::start(node.address()).await;
    let options = OpenSearchOptions { answer_timeout, ..options(&proxy.url(), &new_prefix()) };
    let (_, sink) = open(options).await;
    assert_all_done(&sink.put(&[upsert(1_000, 1, "first")]).await);
    (proxy, sink)
}

fn batch(version: i64) -> Vec<Delivery> {
    (0..DOCUMENTS).map(|number| upsert(number, version, "batch")).collect()
}

fn is_bulk(exchange: &Exchange) -> bool {
    exchange.path.starts_with("/_bulk")
}

/// Counts the outcomes by kind.
fn count(outcomes: &[Outcome]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for outcome in outcomes {
        let name = match outcome {
            Outcome::Done => "done",
            Outcome::Superseded => "superseded",
            Outcome::Rejected { .. } => "rejected",
            Outcome::Retry { cause: RetryCause::Throttled, .. } => "throttled",
            Outcome::Retry { cause: RetryCause::Unavailable, .. } => "unavailable",
            Outcome::Retry { cause: RetryCause::Unanswered, .. } => "unanswered",
            Outcome::Retry { cause: RetryCause::Failed, .. } => "failed",
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// Puts one batch with the fault, then the retries without it. Returns the counts of the first put.
async fn put_through(proxy: &HttpFaultProxy, sink: &dyn Sink, version: i64) -> BTreeMap<&'static str, usize> {
    let deliveries = batch(version);
    let outcomes = sink.put(&deliveries).await;
    assert_eq!(outcomes.len(), deliveries.len(), "one outcome for each");
    proxy.restore();
    let again = deliveries.iter().zip(&outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Retry { .. }));
    let again: Vec<Delivery> = again.map(|(delivery, _)| delivery.clone()).collect();
    let second = sink.put(&again).await;
    assert!(second.iter().all(|outcome| matches!(outcome, Outcome::Done | Outcome::Superseded)), "{second:?}");
    let counts = count(&outcomes);
    println!("{counts:?}, then {:?}", count(&second));
    counts
}

async fn assert_complete(sink: &dyn Sink, version: i64) {
    let state = state(sink).await;
    assert_eq!(state.len(), DOCUMENTS as usize + 1);
    assert_eq!(state.values().filter(|(held, _)| *held == version).count(), DOCUMENTS as usize);
}

#[tokio::test]
async fn a_request_that_fails_as_a_whole_is_classified_by_its_status() {
    let (proxy, sink) = behind_a_proxy(Duration::from_secs(20)).await;
    let expected = [
        (402, "throttled"),
        (429, "throttled"),
        (503, "throttled"),
        (507, "throttled"),
        // Refused for every document, so not for the size of one.
        (413, "throttled"),
        (500, "unanswered"),
        (502, "unanswered"),
        (401, "unavailable"),
    ];
    for ((status, name), version) in expected.into_iter().zip(10..) {
        proxy.set(move |exchange| if is_bulk(exchange) { Fault::Refuse(status) } else { Fault::None });
        let counts = put_through(&proxy, &*sink, version).await;
        assert_eq!(counts, BTreeMap::from([(name, DOCUMENTS as usize)]), "{status}");
        assert_complete(&*sink, version).await;
    }
}

#[tokio::test]
async fn a_request_that_is_refused_for_one_document_is_cut_until_that_one_is_alone() {
    let (proxy, sink) = behind_a_proxy(Duration::from_secs(20)).await;
    let poison = upsert(7, 5, "batch").key.uuid.to_string();
    proxy.set(move |exchange| {
        let text = String::from_utf8_lossy(&exchange.body);
        if is_bulk(exchange) && text.contains(&poison) { Fault::Refuse(413) } else { Fault::None }
    });
    let outcomes = sink.put(&batch(5)).await;
    let rejected: Vec<usize> =
        (0..).zip(&outcomes).filter(|(_, outcome)| **outcome != Outcome::Done).map(|(at, _)| at).collect();
    assert_eq!(rejected, [7], "{outcomes:?}");
    assert!(matches!(&outcomes[7], Outcome::Rejected { reason } if reason.contains("413")), "{outcomes:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_counts_as_far_as_it_came() {
    let (proxy, sink) = behind_a_proxy(Duration::from_secs(20)).await;
    type Make = fn(usize) -> Fault;
    let kinds: [(&str, Make); 2] = [("cut", Fault::Cut), ("shortened", Fault::Shorten)];
    let mut version = 20;
    for (kind, fault) in kinds {
        for thousandths in [0, 13, 500, 999] {
            version += 1;
            proxy.set(move |exchange| if is_bulk(exchange) { fault(thousandths) } else { Fault::None });
            let counts = put_through(&proxy, &*sink, version).await;
            let (done, unanswered) = (counts.get("done").copied(), counts.get("unanswered").copied());
            let done = done.unwrap_or(0);
            assert_eq!(done + unanswered.unwrap_or(0), DOCUMENTS as usize, "{kind} at {thousandths}");
            let share = DOCUMENTS as usize * thousandths / 1_000;
            assert!(done + 1 >= share && done <= share + 1, "{kind} at {thousandths}: {done} done");
            assert_complete(&*sink, version).await;
        }
    }
}

#[tokio::test]
async fn a_reset_or_a_late_answer_is_no_answer() {
    let (proxy, sink) = behind_a_proxy(Duration::from_secs(2)).await;
    let late: fn() -> Fault = || Fault::Delay(Duration::from_secs(4));
    for (fault, version) in [(|| Fault::Reset) as fn() -> Fault, late].into_iter().zip(30..) {
        proxy.set(move |exchange| if is_bulk(exchange) { fault() } else { Fault::None });
        let counts = put_through(&proxy, &*sink, version).await;
        assert_eq!(counts, BTreeMap::from([("unanswered", DOCUMENTS as usize)]));
        assert_complete(&*sink, version).await;
    }
}

#[tokio::test]
async fn every_item_has_its_own_outcome() {
    let (proxy, sink) = behind_a_proxy(Duration::from_secs(20)).await;
    const STATUSES: [(u16, &str); 10] = [
        (402, "throttled"),
        (429, "throttled"),
        (503, "throttled"),
        (507, "throttled"),
        // Sent again alone; the node had written it with the batch.
        (413, "superseded"),
        (405, "unavailable"),
        (400, "rejected"),
        (409, "superseded"),
        (500, "failed"),
        (403, "unavailable"),
    ];
    proxy.set(|exchange| {
        if !is_bulk(exchange) {
            return Fault::None;
        }
        Fault::Rewrite(Box::new(|body| {
            let text = String::from_utf8(body).expect("text");
            if text.matches("status").count() == 1 {
                return text.into_bytes();
            }
            let mut parts = text.split(r#"{"index":{"status":201}}"#);
            let mut changed = parts.next().unwrap_or_default().to_owned();
            for (at, rest) in parts.enumerate() {
                let (status, _) = STATUSES.get(at).copied().unwrap_or((201, ""));
                let error =
                    if status == 201 { "" } else { r#","error":{"type":"fault","reason":"a fault of the test"}"# };
                changed += &format!(r#"{{"index":{{"status":{status}{error}}}}}{rest}"#);
            }
            changed.into_bytes()
        }))
    });
    let outcomes = sink.put(&batch(40)).await;
    for (at, outcome) in outcomes.iter().enumerate() {
        let (status, expected) = STATUSES.get(at).copied().unwrap_or((201, "done"));
        assert_eq!(count(std::slice::from_ref(outcome)).into_keys().next(), Some(expected), "{status}: {outcome:?}");
        if let Outcome::Retry { reason, .. } | Outcome::Rejected { reason } = outcome {
            assert!(reason.contains("a fault of the test"), "{reason}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_killed_in_the_middle_of_puts_costs_nothing() {
    let mut node = OpenSearchNode::start().await;
    let options = OpenSearchOptions { answer_timeout: Duration::from_secs(5), ..options(&node.url(), &new_prefix()) };
    let (_, sink) = open(options).await;
    let (batches, killed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let writing = async {
        let (mut version, mut again) = (0, 0);
        while killed.load(Ordering::Relaxed) == 0 || version < 10 {
            version += 1;
            batches.fetch_add(1, Ordering::Relaxed);
            let mut open = batch(version);
            while !open.is_empty() {
                let outcomes = sink.put(&open).await;
                let retry = |outcome: &Outcome| matches!(outcome, Outcome::Retry { .. });
                assert!(outcomes.iter().all(|outcome| retry(outcome) || !matches!(outcome, Outcome::Rejected { .. })));
                open = open.into_iter().zip(&outcomes).filter(|(_, outcome)| retry(outcome)).map(|(d, _)| d).collect();
                if !open.is_empty() {
                    again += open.len();
                    wait_until("the sink to be ready again", WITHIN, || async { sink.prepare().await.is_ok() }).await;
                }
            }
        }
        (version, again)
    };
    let killing = async {
        let begun = batches.load(Ordering::Relaxed);
        wait_until("puts to be under way", WITHIN, || std::future::ready(batches.load(Ordering::Relaxed) > begun + 5))
            .await;
        node.kill();
        node.restart().await;
        killed.fetch_add(1, Ordering::Relaxed);
    };
    let ((version, again), ()) = tokio::join!(writing, killing);
    println!("{again} went again, last version {version}");
    assert!(again > 0, "no put was hit");
    let state = state(&*sink).await;
    assert_eq!(state.len(), DOCUMENTS as usize);
    assert!(state.values().all(|(held, _)| *held == version));
}

#[tokio::test]
async fn a_node_that_falls_silent_is_not_taken_for_done() {
    let node = OpenSearchNode::start().await;
    let options = OpenSearchOptions { answer_timeout: Duration::from_secs(2), ..options(&node.url(), &new_prefix()) };
    let (_, sink) = open(options).await;
    assert_all_done(&sink.put(&[upsert(1, 1, "before")]).await);
    node.pause();
    let outcomes = sink.put(&[upsert(1, 2, "silence"), upsert(2, 2, "silence")]).await;
    assert_eq!(count(&outcomes), BTreeMap::from([("unanswered", 2)]), "{outcomes:?}");
    assert!(sink.prepare().await.is_err(), "nothing can be reached");
    node.resume();
    wait_until("the sink to be ready again", WITHIN, || async { sink.prepare().await.is_ok() }).await;
    assert_all_done(&sink.put(&[upsert(1, 3, "after"), upsert(2, 3, "after")]).await);
    assert!(state(&*sink).await.values().all(|(version, _)| *version == 3));
}

/// The reason for this sink's [`millstream_pipeline::sink::Limits::delete_memory`].
#[tokio::test]
async fn deletes_are_remembered_by_a_node_for_as_long_as_it_runs() {
    let mut node = OpenSearchNode::start().await;
    let (_, sink) = open(options(&node.url(), &new_prefix())).await;
    assert_all_done(&sink.put(&[upsert(1, 5, "one"), upsert(2, 5, "two")]).await);
    assert_all_done(&sink.put(&[delete(1, 8), delete(2, 8)]).await);
    assert_eq!(sink.put(&[upsert(1, 7, "late")]).await, [Outcome::Superseded]);
    node.kill();
    node.restart().await;
    assert_eq!(sink.put(&[upsert(1, 7, "late")]).await, [Outcome::Superseded], "the translog is replayed");
    node.stop();
    node.restart().await;
    assert_eq!(sink.put(&[upsert(1, 7, "late")]).await, [Outcome::Done], "a clean stop drops them");
    assert_eq!(sink.limits().delete_memory, Duration::ZERO);
    assert_all_done(&sink.put(&[delete(1, 8)]).await);
    assert!(state(&*sink).await.is_empty());
}
