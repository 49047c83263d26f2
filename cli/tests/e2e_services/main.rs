//! The pipeline with every sink: a real Kafka, a real OpenSearch, and `millstream up` as a separate process that is
//! killed and stopped as operators do.
//!
//! The long form of the first test is `make demo-services`.

#[path = "../containers/compose_file.rs"]
#[allow(dead_code, reason = "the checks of a compose file are in the test containers")]
mod compose_file;
mod compose_roles;
mod delivery;
mod documented;
mod installation;
mod offline_repair;
#[path = "../../../connectors/tests/opensearch/support.rs"]
#[allow(dead_code, reason = "the tests of the sink use the other helpers")]
mod opensearch;
mod operator;
mod outage;
mod page;
mod replays;
mod restored;
mod sampler;
mod second_database;
#[path = "../support/mod.rs"]
mod support;

use millstream_testkit::World;
use std::time::Duration;

/// After outages of both services and two kills, every sink agrees with the cache.
#[tokio::test(flavor = "multi_thread")]
async fn sinks_catch_up_after_outages_and_kills() {
    outage::run(outage::Plan { world: World::fixtures(), outage: Duration::from_secs(4), quiet: None }).await;
}

/// Maximum duration of each part of the run without outages, in seconds.
const QUIET_S_MAX: u64 = 60;

/// The same with the corpus and outages of three minutes each (`MILLSTREAM_TEST_OUTAGE_S`).
#[tokio::test(flavor = "multi_thread")]
#[ignore = "fifteen minutes: make demo-services"]
async fn demo_services() {
    let seconds = std::env::var("MILLSTREAM_TEST_OUTAGE_S").ok().and_then(|text| text.parse().ok()).unwrap_or(180);
    outage::run(outage::Plan {
        world: World::corpus().unwrap_or_else(World::fixtures),
        outage: Duration::from_secs(seconds),
        // Long enough for the load to end before the edits do.
        quiet: Some(Duration::from_secs(seconds.min(QUIET_S_MAX))),
    })
    .await;
}
