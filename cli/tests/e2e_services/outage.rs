//! Documents are loaded with every sink on; OpenSearch goes away in the middle, then Kafka, and the process is killed
//! while each is away. Afterwards everything is everywhere, and the cache was no later than without an outage.

use crate::place::Place;
use crate::sampler::{Sampler, percentile};
use crate::support::child::Up;
use crate::support::{loaded, say};
use millstream_testkit::World;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long the process stays away after it was killed: it is started again at once.
const KILL_AFTER: f64 = 0.5;

/// What to do.
pub(crate) struct Plan {
    /// What is loaded.
    pub(crate) world: &'static World,
    /// How long each service is away at least.
    pub(crate) outage: Duration,
}

struct Scene {
    place: Place,
    up: Option<Up>,
    sampler: Sampler,
}

pub(crate) async fn run(plan: Plan) {
    let documents = loaded::documents(plan.world);
    // Every third holds what its documents refer to, or the third before it does.
    let third = documents.len().div_ceil(3);
    let (place, up) = Place::new(plan.world, &[]).await;
    let files: Vec<_> =
        documents.chunks(third).enumerate().map(|(at, part)| place.write(&format!("{at}.jsonl"), part)).collect();
    let client = place.database.session().await;
    let sampler = Sampler::new(up.http.clone(), client, &documents);
    let mut scene = Scene { place, up: Some(up), sampler };

    let started = Instant::now();
    let quiet = scene.phase("all sinks on", &files[0], plan.outage, false).await;
    scene.place.opensearch.stop();
    let without_search = scene.phase("OpenSearch away", &files[1], plan.outage, true).await;
    scene.tell_lanes().await;
    scene.place.opensearch.restart().await;
    scene.place.kafka.stop(0);
    let without_kafka = scene.phase("Kafka away", &files[2], plan.outage, true).await;
    scene.tell_lanes().await;
    scene.place.kafka.restart(0).await;

    let back = Instant::now();
    scene.place.wait_delivered().await;
    say!("both sinks caught up {:.1?} after Kafka was back", back.elapsed());
    scene.assert_nothing_quarantined().await;
    scene.place.verify().await;
    for (name, lags) in [("OpenSearch", &without_search), ("Kafka", &without_kafka)] {
        let ratio = percentile(lags, 50).as_secs_f64() / percentile(&quiet, 50).as_secs_f64().max(1e-9);
        say!("lag of the cache without {name}: {ratio:.2} of that with all sinks (median)");
    }
    say!("{} documents, {:.0?} in all", documents.len(), started.elapsed());
    scene.up.take().expect("it runs").stop().await;
}

impl Scene {
    /// Loads a file and edits beside it, for `least` at least. With a kill in the middle of it.
    async fn phase(&mut self, name: &str, file: &Path, least: Duration, kill: bool) -> Vec<Duration> {
        let (place, stop, started) = (&self.place, CancellationToken::new(), Instant::now());
        let (up, sampler) = (&mut self.up, &mut self.sampler);
        let loading = async {
            place.load(file).await;
            let loaded = started.elapsed();
            tokio::time::sleep(least.saturating_sub(loaded)).await;
            stop.cancel();
            loaded
        };
        let killing = async {
            if kill {
                tokio::time::sleep(least.mul_f64(KILL_AFTER)).await;
                up.take().expect("it runs").kill().await;
                *up = Some(Up::start(&place.setup).await);
            }
        };
        let (loaded, (), lags) = tokio::join!(loading, killing, sampler.run(&stop));
        let (median, late) = (percentile(&lags, 50), percentile(&lags, 99));
        assert!(lags.len() > 10, "only {} edits were measured", lags.len());
        say!(
            "{name}: loaded in {loaded:.1?}{}, lag of the cache {median:.1?} (p99 {late:.1?}, {} edits)",
            if kill { ", with a kill -9" } else { "" },
            lags.len()
        );
        lags
    }

    async fn tell_lanes(&self) {
        for lane in self.place.lanes().await {
            let (name, depth) = (&lane["name"], &lane["depth"]);
            say!("    {name}: {depth} waiting, {} delivered since the start", lane["delivered"]);
        }
    }

    async fn assert_nothing_quarantined(&self) {
        let text = self.place.command(0, &["quarantine", "list"]).await;
        assert!(text.ends_with("in quarantine: 0\n"), "{text}");
    }
}
