//! Documents are loaded with every sink on; OpenSearch goes away in the middle, then Kafka, and the process is killed
//! while each is away. Afterwards everything is everywhere.
//!
//! Whether the cache was later for it is told by a second life of the same kind, in a database of its own: the same thirds
//! of the documents, the same kills, and nothing away.

use crate::place::Place;
use crate::sampler::{Sample, Sampler, percentile};
use crate::support::child::Up;
use crate::support::{loaded, say};
use millstream_testkit::World;
use millstream_testkit::corpus::Document;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// When the process is killed, as a share of the outage. It is started again at once.
const KILL_AFTER: f64 = 0.5;

/// What to do.
pub(crate) struct Plan {
    /// What is loaded.
    pub(crate) world: &'static World,
    /// How long each service is away at least.
    pub(crate) outage: Duration,
    /// How long the same is done without outages, to compare with; `None`: nothing is compared.
    pub(crate) quiet: Option<Duration>,
}

/// What goes away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Away {
    Nothing,
    OpenSearch,
    Kafka,
}

/// How late the cache was in a phase.
struct Lags {
    loading: Vec<Duration>,
    after: Vec<Duration>,
}

struct Scene {
    place: Place,
    up: Option<Up>,
    sampler: Sampler,
    thirds: Vec<PathBuf>,
}

pub(crate) async fn run(plan: Plan) {
    let documents = loaded::documents(plan.world);
    let started = Instant::now();
    let quiet = match plan.quiet {
        Some(least) => {
            say!("nothing away:");
            Some(play(&plan, &documents, least, [Away::Nothing; 2]).await)
        }
        None => None,
    };
    say!("OpenSearch away in the second part, Kafka in the third:");
    let lags = play(&plan, &documents, plan.outage, [Away::OpenSearch, Away::Kafka]).await;
    for (number, name) in [(1, "OpenSearch"), (2, "Kafka")] {
        if let Some(quiet) = &quiet {
            let (with, without) = (&lags[number], &quiet[number]);
            say!(
                "lag of the cache while {name} was away, beside that with nothing away (medians): {} while loading, {} after",
                ratio(&with.loading, &without.loading),
                ratio(&with.after, &without.after)
            );
        }
    }
    say!("{} documents, {:.0?} in all", documents.len(), started.elapsed());
}

/// Loads the thirds with this away during the second and the third, then holds every copy against the source.
async fn play(plan: &Plan, documents: &[Document], least: Duration, away: [Away; 2]) -> Vec<Lags> {
    let mut scene = Scene::new(plan.world, documents).await;
    let mut lags = vec![scene.phase("all sinks on", 0, least, false).await];
    for (number, away) in [(1, away[0]), (2, away[1])] {
        let name = scene.take_away(away);
        lags.push(scene.phase(name, number, least, true).await);
        scene.tell_lanes().await;
        scene.bring_back(away).await;
    }
    let back = Instant::now();
    scene.place.wait_delivered().await;
    say!("both sinks caught up after {:.1?}", back.elapsed());
    scene.assert_nothing_quarantined().await;
    scene.place.verify().await;
    scene.up.take().expect("it runs").stop().await;
    lags
}

fn ratio(some: &[Duration], others: &[Duration]) -> String {
    let (some, others) = (percentile(some, 50).as_secs_f64(), percentile(others, 50).as_secs_f64());
    format!("{:.2} ({:.1} to {:.1} ms)", some / others.max(1e-9), some * 1e3, others * 1e3)
}

impl Scene {
    async fn new(world: &'static World, documents: &[Document]) -> Self {
        // Every third holds what its documents refer to, or the third before it does.
        let third = documents.len().div_ceil(3);
        let (place, up) = Place::new(world, &[]).await;
        let parts = documents.chunks(third).enumerate();
        let thirds = parts.map(|(at, part)| place.write(&format!("{at}.jsonl"), part)).collect();
        let sampler = Sampler::new(up.http.clone(), place.database.session().await, documents);
        Self { place, up: Some(up), sampler, thirds }
    }

    fn take_away(&mut self, away: Away) -> &'static str {
        match away {
            Away::Nothing => "all sinks on",
            Away::OpenSearch => {
                self.place.opensearch.stop();
                "OpenSearch away"
            }
            Away::Kafka => {
                self.place.kafka.stop(0);
                "Kafka away"
            }
        }
    }

    async fn bring_back(&mut self, away: Away) {
        match away {
            Away::Nothing => {}
            Away::OpenSearch => self.place.opensearch.restart().await,
            Away::Kafka => self.place.kafka.restart(0).await,
        }
    }

    /// Loads a third and edits beside it, for `least` at least. With a kill in the middle of it.
    async fn phase(&mut self, name: &str, third: usize, least: Duration, kill: bool) -> Lags {
        let (place, stop, started) = (&self.place, CancellationToken::new(), Instant::now());
        let (up, sampler, file): (_, _, &Path) = (&mut self.up, &mut self.sampler, &self.thirds[third]);
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
        let (loaded, (), samples) = tokio::join!(loading, killing, sampler.run(&stop));
        assert!(samples.len() > 10, "only {} edits were measured", samples.len());
        let (loading, after): (Vec<Sample>, Vec<Sample>) = samples.into_iter().partition(|sample| sample.at < loaded);
        let lags = |samples: Vec<Sample>| samples.into_iter().map(|sample| sample.lag).collect::<Vec<_>>();
        let lags = Lags { loading: lags(loading), after: lags(after) };
        let tell = |lags: &[Duration]| {
            let (median, late) = (percentile(lags, 50), percentile(lags, 99));
            format!("{median:.1?} (p99 {late:.1?}, {} edits)", lags.len())
        };
        say!(
            "  {name}{}: loaded in {loaded:.1?}, lag of the cache meanwhile {}, after it {}",
            if kill { ", with a kill -9" } else { "" },
            tell(&lags.loading),
            tell(&lags.after)
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
