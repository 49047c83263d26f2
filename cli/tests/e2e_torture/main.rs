//! Fault injection at random moments while documents are loaded, edited, deleted and renamed.
//!
//! `millstream up` runs as a separate process on a durable PostgreSQL (fsync on). After each fault the tables,
//! identities, edges and cached bodies of all documents must agree, and every answered write must be stored. The seed is
//! printed; `MILLSTREAM_SEED` repeats it.

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod fault;
mod trial;

use std::time::Duration;
use trial::{Plan, torture};

/// Trials of the short form: one kill of the process, one of a backend, one of the cluster.
const TRIALS: usize = 3;
/// Default number of trials of the long form; `MILLSTREAM_TORTURE_TRIALS` overrides it.
const TRIALS_LONG: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn no_accepted_write_is_lost_in_three_kills() {
    let world = millstream_testkit::World::fixtures();
    let ms = Duration::from_millis;
    torture(Plan { world, trials: TRIALS, kill_after: (ms(150), ms(1_000)), loaded_first: 150 }).await;
}

/// `make torture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes many minutes: make torture"]
async fn torture_no_accepted_write_is_lost() {
    let trials = std::env::var("MILLSTREAM_TORTURE_TRIALS").map_or(TRIALS_LONG, |text| {
        text.parse().unwrap_or_else(|error| panic!("invalid MILLSTREAM_TORTURE_TRIALS {text:?}: {error}"))
    });
    let world = millstream_testkit::World::corpus().unwrap_or_else(millstream_testkit::World::fixtures);
    let ms = Duration::from_millis;
    torture(Plan { world, trials, kill_after: (ms(50), ms(3_000)), loaded_first: 16_000 }).await;
}
