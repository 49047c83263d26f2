//! Brokers that crash and brokers that stop responding.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millstream_connectors::sink::kafka::{KafkaOptions, KafkaSink};
use millstream_pipeline::sink::{Delivery, Outcome, RetryCause, Sink};
use millstream_testkit::{BrokerOptions, KafkaBroker, wait_until};

use crate::support::{assert_all_done, key, new_topic_name, open, options, rows, state, upsert};

const WITHIN: Duration = Duration::from_secs(90);
const BATCH: u128 = 200;
const KILLS: usize = 3;

#[derive(Debug, Default)]
struct PutCounts {
    puts: usize,
    done: usize,
    again: BTreeMap<&'static str, usize>,
}

/// Puts like a delivery worker: sends retries again after the sink is prepared again.
async fn put_until_done(sink: &KafkaSink, batch: Vec<Delivery>, account: &mut PutCounts) {
    let mut open = batch;
    while !open.is_empty() {
        let outcomes = sink.put(&open).await;
        account.puts += 1;
        assert_eq!(outcomes.len(), open.len(), "one outcome for each");
        let mut again = Vec::new();
        for (delivery, outcome) in open.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Done => account.done += 1,
                Outcome::Retry { cause, reason } => {
                    let cause = match cause {
                        RetryCause::Throttled => "throttled",
                        RetryCause::Unavailable => "unavailable",
                        RetryCause::Unanswered => "unanswered",
                        RetryCause::Failed => panic!("attributed to a document: {reason}"),
                    };
                    *account.again.entry(cause).or_default() += 1;
                    again.push(delivery);
                }
                other => panic!("{other:?}"),
            }
        }
        open = again;
        if !open.is_empty() {
            wait_until("the sink to be ready again", WITHIN, || async { sink.prepare().await.is_ok() }).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_in_the_middle_of_a_put_costs_nothing() {
    let mut broker = KafkaBroker::start(BrokerOptions::default()).await;
    let servers = broker.bootstrap_servers();
    let topic = new_topic_name();
    let sink = KafkaOptions { answer_timeout: Duration::from_secs(3), ..options(&servers, &topic) };
    let sink = open(sink).await;
    let (batches, kills) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let writing = async {
        let mut account = PutCounts::default();
        let mut version = 0;
        while kills.load(Ordering::Relaxed) < KILLS || version < 10 {
            version += 1;
            let text = "x".repeat(3_000);
            let batch = (0..BATCH).map(|number| upsert(number, version, &text)).collect();
            batches.fetch_add(1, Ordering::Relaxed);
            put_until_done(&sink, batch, &mut account).await;
        }
        (account, version)
    };
    let killing = async {
        for kill in 0..KILLS {
            let begun = batches.load(Ordering::Relaxed);
            wait_until("a put to be under way", WITHIN, || {
                std::future::ready(batches.load(Ordering::Relaxed) > begun + 1)
            })
            .await;
            broker.kill(0);
            broker.restart(0).await;
            println!("kill {kill} during batch {}", batches.load(Ordering::Relaxed));
            kills.fetch_add(1, Ordering::Relaxed);
        }
    };
    let ((account, version), ()) = tokio::join!(writing, killing);
    println!("{account:?}, last version {version}");
    assert!(!account.again.is_empty(), "no put was hit: {account:?}");
    assert_eq!(account.done, BATCH as usize * version as usize, "each was done once");
    // Nothing is compacted yet, so every version reported as done must be in the topic.
    let found: BTreeSet<(String, String)> =
        rows(&servers, &topic).into_iter().map(|row| (row.key, row.headers["contentVersion"].clone())).collect();
    let each = (1..=version).flat_map(|version| (0..BATCH).map(move |number| (number, version)));
    let missing: Vec<(u128, i64)> = each
        .filter(|(number, version)| !found.contains(&(key(*number).uuid.to_string(), version.to_string())))
        .collect();
    assert!(missing.is_empty(), "missing documents, with their versions: {missing:?}");
    let state = state(&sink).await;
    assert_eq!(state.len(), BATCH as usize);
    assert!(state.values().all(|(held, _)| *held == version));
}

#[tokio::test]
async fn a_broker_that_falls_silent_is_not_taken_for_done() {
    let broker = KafkaBroker::start(BrokerOptions::default()).await;
    let servers = broker.bootstrap_servers();
    let sink = KafkaOptions { answer_timeout: Duration::from_secs(2), ..options(&servers, &new_topic_name()) };
    let sink = open(sink).await;
    assert_all_done(&sink.put(&[upsert(1, 1, "before")]).await);
    broker.pause(0);
    let outcomes = sink.put(&[upsert(1, 2, "silence"), upsert(2, 2, "silence")]).await;
    let again = |outcome: &Outcome| {
        matches!(outcome, Outcome::Retry { cause: RetryCause::Unanswered | RetryCause::Unavailable, .. })
    };
    assert!(outcomes.iter().all(again), "{outcomes:?}");
    assert!(sink.prepare().await.is_err(), "nothing can be reached");
    broker.resume(0);
    wait_until("the sink to be ready again", WITHIN, || async { sink.prepare().await.is_ok() }).await;
    assert_all_done(&sink.put(&[upsert(1, 3, "after"), upsert(2, 3, "after")]).await);
    assert!(state(&sink).await.values().all(|(version, _)| *version == 3));
}
