//! Processes that share a queue in Kafka, on three brokers: projectors and relays are killed, put to sleep past their
//! session, added and sent away, and brokers killed, while documents are edited, deleted and renamed. After each fault
//! the tables, the cache and both sinks agree, and no sink ever saw a version go back.

mod crew;
mod load;
#[path = "../support/mod.rs"]
mod support;
mod trial;

use trial::{FAULTS, torture};

/// Trials of the long form, unless `MILLSTREAM_TORTURE_TRIALS` says otherwise.
const TRIALS_LONG: usize = 32;

/// One trial of each kind that takes little time.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_processes_and_brokers_come_and_go() {
    torture(3).await;
}

/// `make torture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a quarter of an hour: make torture"]
async fn torture_of_processes_that_share_a_queue() {
    let trials = std::env::var("MILLSTREAM_TORTURE_TRIALS").map_or(TRIALS_LONG, |text| {
        text.parse().unwrap_or_else(|error| panic!("MILLSTREAM_TORTURE_TRIALS {text:?} is no number: {error}"))
    });
    assert!(trials >= FAULTS.len(), "each kind once at least: {}", FAULTS.len());
    torture(trials).await;
}
