//! The whole line with every sink on: a real Kafka, a real OpenSearch, and `millstream up` as a process of its own that is
//! killed and stopped as its users would.
//!
//! The long form of the first test is `make demo-services`.

#[path = "../containers/file.rs"]
#[allow(dead_code, reason = "the rules of a compose file are another test's")]
mod compose_file;
mod composed;
mod delivery;
mod documented;
mod idle;
mod neighbour;
#[path = "../../../connectors/tests/opensearch/support.rs"]
#[allow(dead_code, reason = "the other helpers serve the tests of the sink")]
mod opensearch;
mod operator;
mod outage;
mod page;
mod place;
mod restored;
mod sampler;
#[path = "../support/mod.rs"]
mod support;
mod walks;

use millstream_testkit::World;
use std::time::Duration;

/// Past outages of both services and two kills, every sink holds what the cache holds.
#[tokio::test(flavor = "multi_thread")]
async fn sinks_catch_up_after_outages_and_kills() {
    outage::run(outage::Plan { world: World::fixtures(), outage: Duration::from_secs(4), quiet: None }).await;
}

/// How long each part of the run without outages lasts at most.
const QUIET_S_MAX: u64 = 60;

/// The same with everything there is, and outages of three minutes each (`MILLSTREAM_TEST_OUTAGE_S`).
#[tokio::test(flavor = "multi_thread")]
#[ignore = "fifteen minutes: make demo-services"]
async fn demo_services() {
    let seconds = std::env::var("MILLSTREAM_TEST_OUTAGE_S").ok().and_then(|text| text.parse().ok()).unwrap_or(180);
    outage::run(outage::Plan {
        world: World::corpus().unwrap_or_else(World::fixtures),
        outage: Duration::from_secs(seconds),
        // Long enough that the load ends and edits follow it.
        quiet: Some(Duration::from_secs(seconds.min(QUIET_S_MAX))),
    })
    .await;
}
