//! Processes that share a queue in Kafka on three brokers. While documents are edited, deleted and renamed, projectors
//! and relays are killed, suspended past their session timeout, added and removed, and brokers are killed. After each
//! fault the tables, the cache and both sinks agree, and no sink received an older version after a newer one.

mod load;
mod processes;
#[path = "../support/mod.rs"]
mod support;
mod trial;

use trial::{FAULTS, torture};

/// Default number of trials of the long form; `MILLSTREAM_TORTURE_TRIALS` overrides it.
const TRIALS_LONG: usize = 32;

/// One trial of each of the quick faults.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_processes_and_brokers_come_and_go() {
    torture(3).await;
}

/// `make torture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a quarter of an hour: make torture"]
async fn torture_of_processes_that_share_a_queue() {
    let trials = std::env::var("MILLSTREAM_TORTURE_TRIALS").map_or(TRIALS_LONG, |text| {
        text.parse().unwrap_or_else(|error| panic!("invalid MILLSTREAM_TORTURE_TRIALS {text:?}: {error}"))
    });
    assert!(trials >= FAULTS.len(), "at least one trial of each of the {} faults", FAULTS.len());
    torture(trials).await;
}
