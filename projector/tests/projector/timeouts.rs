//! Sinks that take requests and say nothing: retried in ever smaller ones, within the pace, and nobody is blamed too early.

use super::delivery::{Moody, Town, held};
use super::support::{PATIENCE, enrolment};
use millstream_pipeline::sink::Sink;
use millstream_testkit::wait_until;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::Semaphore;

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_429_cost_retries_and_nothing_else() {
    let town = Town::new().await;
    let sink = Arc::new(Moody::default());
    sink.set(|mood| (mood.silent, mood.busy) = (2, 3));
    let courier = town.courier("search", Arc::<Moody>::clone(&sink)).await;
    let room = town.bed.homeroom(3).await;
    let gone = room.enrolments[2];
    town.bed.put("studentSchoolAssociations", room.enrolments[0], enrolment(0, "1st")).await;
    // Both silences on one document would be more than it may fail.
    town.wait_equal(&sink.map).await;
    sink.set(|mood| mood.silent = 2);
    town.bed.delete("studentSchoolAssociations", gone).await;
    town.wait_equal(&sink.map).await;
    let report = courier.status().await.expect("a status");
    assert_eq!((report.quarantined, report.rejected), (0, 0), "{report:#?}");
    assert!(report.retried > 0, "{report:#?}");
    assert!(!held(&sink.map).await.contains_key(&gone));
    courier.stop(PATIENCE).await.expect("it stops");
}

/// A sink that takes requests and never answers is ill; no document is to blame, however long that takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_says_nothing_costs_no_document_an_attempt() {
    let town = Town::new().await;
    let sink = Arc::new(Moody::default());
    sink.set(|mood| mood.silent = usize::MAX);
    let courier = town.courier("search", Arc::<Moody>::clone(&sink)).await;
    for number in 0..3 {
        town.bed.post_student(number, "Ada").await;
    }
    wait_until("each to have met more silence than it may fail", PATIENCE, || async {
        sink.puts.lock().expect("nobody panics with the lock").len() > 3 * 10
    })
    .await;
    let report = courier.status().await.expect("a status");
    assert_eq!((report.quarantined, report.depth), (0, 3), "{report:#?}");
    sink.set(|mood| mood.silent = 0);
    town.wait_equal(&sink.map).await;
    courier.stop(PATIENCE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_silence_the_sink_is_not_flooded() {
    const DOCUMENTS: usize = 90;
    let town = Town::new().await;
    let sink = Arc::new(Moody::default());
    let lane = town.lane("search").await;
    for number in 0..DOCUMENTS {
        town.bed.post_student(number, "Ada").await;
    }
    wait_until("all to wait for the sink", PATIENCE, || async {
        lane.stats().await.expect("figures").depth == DOCUMENTS as u64
    })
    .await;
    sink.set(|mood| mood.silent = 3);
    let courier = town.courier("search", Arc::<Moody>::clone(&sink)).await;
    town.wait_equal(&sink.map).await;
    wait_until("all to be settled", PATIENCE, || async { lane.stats().await.expect("figures").depth == 0 }).await;
    courier.stop(PATIENCE).await.expect("it stops");
    let puts = sink.puts.lock().expect("nobody panics with the lock").clone();
    // Eight parts of the first; two of them met silence again and were divided into pairs.
    assert_eq!(puts[..3], [DOCUMENTS, 12, 12], "ever fewer together: {puts:?}");
    assert_eq!((puts.iter().min(), puts.len()), (Some(&2), 1 + 8 + 12), "not each alone: {puts:?}");
    assert!(sink.busiest.load(Ordering::SeqCst) <= sink.limits().in_flight_max, "within the pace");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_that_is_stopped_gives_back_what_waits() {
    let town = Town::new().await;
    let lane = town.lane("search").await;
    for number in 0..90 {
        town.bed.post_student(number, "Ada").await;
    }
    wait_until("all to wait for the sink", PATIENCE, || async { lane.stats().await.expect("figures").depth == 90 })
        .await;
    let sink = Arc::new(Moody { answers: Some(Semaphore::new(1)), ..Moody::default() });
    sink.set(|mood| mood.silent = 1);
    let first = town.courier("search", Arc::<Moody>::clone(&sink)).await;
    let puts = || sink.puts.lock().expect("nobody panics with the lock").len();
    wait_until("the first part to be under way", PATIENCE, || async { puts() == 2 }).await;
    let released = async {
        tokio::task::yield_now().await;
        sink.answers.as_ref().expect("there are").add_permits(1_000);
    };
    let (stopped, ()) = tokio::join!(first.stop(PATIENCE), released);
    stopped.expect("it stops");
    assert_eq!(puts(), 2, "nothing was begun any more");
    let second = town.courier("search", Arc::<Moody>::clone(&sink)).await;
    wait_until("all to be settled", PATIENCE, || async { lane.stats().await.expect("figures").depth == 0 }).await;
    assert_eq!(held(&sink.map).await.len(), 90);
    second.stop(PATIENCE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_at_rest_is_looked_after_and_prepared_again_if_that_fails() {
    let town = Town::new().await;
    let sink = Arc::new(Moody::default());
    let courier = town.courier("search", Arc::<Moody>::clone(&sink)).await;
    let count = |of: &std::sync::atomic::AtomicUsize| of.load(Ordering::SeqCst);
    wait_until("it to be looked after", PATIENCE, || async { count(&sink.tended) >= 2 }).await;
    assert_eq!(count(&sink.prepared), 1);
    sink.set(|mood| mood.away = true);
    wait_until("it to be prepared again", PATIENCE, || async { count(&sink.prepared) >= 2 }).await;
    let report = courier.status().await.expect("a status");
    assert!(report.last_error.expect("it is told").text.contains("away"));
    sink.set(|mood| mood.away = false);
    town.bed.post_student(1, "Ada").await;
    town.wait_equal(&sink.map).await;
    courier.stop(PATIENCE).await.expect("it stops");
}
