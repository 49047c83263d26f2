//! Sinks that time out: retries in ever smaller groups, within the concurrency limit, without charging documents too
//! early.

use super::delivery::{District, ScriptedSink, held};
use super::support::{DEADLINE, enrolment};
use millstream_pipeline::sink::Sink;
use millstream_testkit::wait_until;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::Semaphore;

#[tokio::test(flavor = "multi_thread")]
async fn timeouts_and_429_cost_retries_and_nothing_else() {
    let district = District::new().await;
    let sink = Arc::new(ScriptedSink::default());
    sink.set(|script| (script.timeouts, script.throttled) = (2, 3));
    let worker = district.worker("search", Arc::<ScriptedSink>::clone(&sink)).await;
    let room = district.bed.homeroom(3).await;
    let gone = room.enrolments[2];
    district.bed.put("studentSchoolAssociations", room.enrolments[0], enrolment(0, "1st")).await;
    // Both timeouts on one document would exceed its attempts.
    district.wait_equal(&sink.map).await;
    sink.set(|script| script.timeouts = 2);
    district.bed.delete("studentSchoolAssociations", gone).await;
    district.wait_equal(&sink.map).await;
    let report = worker.status().await.expect("a status");
    assert_eq!((report.quarantined, report.rejected), (0, 0), "{report:#?}");
    assert!(report.retried > 0, "{report:#?}");
    assert!(!held(&sink.map).await.contains_key(&gone));
    worker.stop(DEADLINE).await.expect("it stops");
}

/// A sink that never answers is failing itself: no document is charged an attempt, however long that takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_never_answers_costs_no_document_an_attempt() {
    let district = District::new().await;
    let sink = Arc::new(ScriptedSink::default());
    sink.set(|script| script.timeouts = usize::MAX);
    let worker = district.worker("search", Arc::<ScriptedSink>::clone(&sink)).await;
    for number in 0..3 {
        district.bed.post_student(number, "Ada").await;
    }
    wait_until("all documents to wait for the sink", DEADLINE, || async {
        worker.status().await.is_ok_and(|report| report.depth == 3)
    })
    .await;
    sink.puts.lock().expect("not poisoned").clear();
    wait_until("each document to time out more often than it may fail", DEADLINE, || async {
        sink.puts.lock().expect("not poisoned").len() > 3 * 10
    })
    .await;
    let report = worker.status().await.expect("a status");
    assert_eq!((report.quarantined, report.depth), (0, 3), "{report:#?}");
    sink.set(|script| script.timeouts = 0);
    district.wait_equal(&sink.map).await;
    worker.stop(DEADLINE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_timeout_the_sink_is_not_flooded() {
    const DOCUMENTS: usize = 90;
    let district = District::new().await;
    let sink = Arc::new(ScriptedSink::default());
    let lane = district.lane("search").await;
    for number in 0..DOCUMENTS {
        district.bed.post_student(number, "Ada").await;
    }
    wait_until("all to wait for the sink", DEADLINE, || async {
        lane.stats().await.expect("counters").depth == DOCUMENTS as u64
    })
    .await;
    sink.set(|script| script.timeouts = 3);
    let worker = district.worker("search", Arc::<ScriptedSink>::clone(&sink)).await;
    district.wait_equal(&sink.map).await;
    wait_until("all to be settled", DEADLINE, || async { lane.stats().await.expect("counters").depth == 0 }).await;
    worker.stop(DEADLINE).await.expect("it stops");
    let puts = sink.puts.lock().expect("not poisoned").clone();
    // Eight groups of the first; two of them timed out again and were divided into pairs.
    assert_eq!(puts[..3], [DOCUMENTS, 12, 12], "ever smaller groups: {puts:?}");
    assert_eq!((puts.iter().min(), puts.len()), (Some(&2), 1 + 8 + 12), "not each alone: {puts:?}");
    assert!(sink.busiest.load(Ordering::SeqCst) <= sink.limits().in_flight_max, "within the limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_stopped_returns_waiting_entries() {
    let district = District::new().await;
    let lane = district.lane("search").await;
    for number in 0..90 {
        district.bed.post_student(number, "Ada").await;
    }
    wait_until("all to wait for the sink", DEADLINE, || async { lane.stats().await.expect("counters").depth == 90 })
        .await;
    let sink = Arc::new(ScriptedSink { answers: Some(Semaphore::new(1)), ..ScriptedSink::default() });
    sink.set(|script| script.timeouts = 1);
    let first = district.worker("search", Arc::<ScriptedSink>::clone(&sink)).await;
    let puts = || sink.puts.lock().expect("not poisoned").len();
    wait_until("the first part to be under way", DEADLINE, || async { puts() == 2 }).await;
    let released = async {
        tokio::task::yield_now().await;
        sink.answers.as_ref().expect("there are").add_permits(1_000);
    };
    let (stopped, ()) = tokio::join!(first.stop(DEADLINE), released);
    stopped.expect("it stops");
    assert_eq!(puts(), 2, "no request was started after the stop");
    let second = district.worker("search", Arc::<ScriptedSink>::clone(&sink)).await;
    wait_until("all to be settled", DEADLINE, || async { lane.stats().await.expect("counters").depth == 0 }).await;
    assert_eq!(held(&sink.map).await.len(), 90);
    second.stop(DEADLINE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_sink_is_tended_and_prepared_again_if_that_fails() {
    let district = District::new().await;
    let sink = Arc::new(ScriptedSink::default());
    let worker = district.worker("search", Arc::<ScriptedSink>::clone(&sink)).await;
    let count = |of: &std::sync::atomic::AtomicUsize| of.load(Ordering::SeqCst);
    wait_until("it to be tended", DEADLINE, || async { count(&sink.tended) >= 2 }).await;
    assert_eq!(count(&sink.prepared), 1);
    sink.set(|script| script.away = true);
    wait_until("it to be prepared again", DEADLINE, || async { count(&sink.prepared) >= 2 }).await;
    let report = worker.status().await.expect("a status");
    assert!(report.last_error.expect("an error").text.contains("away"));
    sink.set(|script| script.away = false);
    district.bed.post_student(1, "Ada").await;
    district.wait_equal(&sink.map).await;
    worker.stop(DEADLINE).await.expect("it stops");
}
