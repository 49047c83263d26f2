//! Documents are loaded with every sink on. OpenSearch and then Kafka become unavailable, and the process is killed
//! during each outage. Afterwards every copy agrees.
//!
//! A second run in its own database, with the same thirds of the documents and the same kills but without outages, shows
//! whether the outages delay the cache.

use crate::installation::Installation;
use crate::sampler::{Sample, Sampler, percentile};
use crate::support::process::Process;
use crate::support::{loaded, report};
use millstream_testkit::World;
use millstream_testkit::corpus::Document;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Moment of the kill as a fraction of the outage. The process restarts at once.
const KILL_AFTER: f64 = 0.5;

/// Parameters of a run.
pub(crate) struct Plan {
    /// The documents to load.
    pub(crate) world: &'static World,
    /// Minimum duration of each outage.
    pub(crate) outage: Duration,
    /// Minimum duration of the phases without outages to compare with; `None` skips the comparison.
    pub(crate) quiet: Option<Duration>,
}

/// The unavailable service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outage {
    None,
    OpenSearch,
    Kafka,
}

/// Lags of the cache in one phase.
struct PhaseLags {
    loading: Vec<Duration>,
    after: Vec<Duration>,
}

/// An installation, its measurements, and the files to load.
struct OutageTest {
    installation: Installation,
    up: Option<Process>,
    sampler: Sampler,
    thirds: Vec<PathBuf>,
}

pub(crate) async fn run(plan: Plan) {
    let documents = loaded::documents(plan.world);
    let started = Instant::now();
    let quiet = match plan.quiet {
        Some(least) => {
            report!("without outages:");
            Some(run_phases(&plan, &documents, least, [Outage::None; 2]).await)
        }
        None => None,
    };
    report!("OpenSearch unavailable in the second part, Kafka in the third:");
    let lags = run_phases(&plan, &documents, plan.outage, [Outage::OpenSearch, Outage::Kafka]).await;
    for (number, name) in [(1, "OpenSearch"), (2, "Kafka")] {
        if let Some(quiet) = &quiet {
            let (with, without) = (&lags[number], &quiet[number]);
            report!(
                "lag of the cache while {name} was unavailable, compared with no outage (medians): {} while loading, {} after",
                ratio(&with.loading, &without.loading),
                ratio(&with.after, &without.after)
            );
        }
    }
    report!("{} documents, {:.0?} in all", documents.len(), started.elapsed());
}

/// Loads the thirds with these outages during the second and the third, then verifies every copy.
async fn run_phases(plan: &Plan, documents: &[Document], least: Duration, outages: [Outage; 2]) -> Vec<PhaseLags> {
    let mut test = OutageTest::new(plan.world, documents).await;
    let mut lags = vec![test.phase("all sinks on", 0, least, false).await];
    for (number, outage) in [(1, outages[0]), (2, outages[1])] {
        let name = test.begin(outage);
        lags.push(test.phase(name, number, least, true).await);
        test.report_lanes().await;
        test.end(outage).await;
    }
    let ended = Instant::now();
    test.installation.wait_delivered().await;
    report!("both sinks caught up after {:.1?}", ended.elapsed());
    test.assert_nothing_quarantined().await;
    test.installation.verify().await;
    test.up.take().expect("the process is running").stop().await;
    lags
}

fn ratio(some: &[Duration], others: &[Duration]) -> String {
    let (some, others) = (percentile(some, 50).as_secs_f64(), percentile(others, 50).as_secs_f64());
    format!("{:.2} ({:.1} to {:.1} ms)", some / others.max(1e-9), some * 1e3, others * 1e3)
}

impl OutageTest {
    async fn new(world: &'static World, documents: &[Document]) -> Self {
        // The documents are in dependency order: references lead to the same third or an earlier one.
        let third = documents.len().div_ceil(3);
        let (installation, up) = Installation::new(world, &[]).await;
        let parts = documents.chunks(third).enumerate();
        let thirds = parts.map(|(at, part)| installation.write(&format!("{at}.jsonl"), part)).collect();
        let sampler = Sampler::new(up.http.clone(), installation.database.session().await, documents);
        Self { installation, up: Some(up), sampler, thirds }
    }

    fn begin(&mut self, outage: Outage) -> &'static str {
        match outage {
            Outage::None => "all sinks on",
            Outage::OpenSearch => {
                self.installation.opensearch.stop();
                "OpenSearch unavailable"
            }
            Outage::Kafka => {
                self.installation.kafka.stop(0);
                "Kafka unavailable"
            }
        }
    }

    async fn end(&mut self, outage: Outage) {
        match outage {
            Outage::None => {}
            Outage::OpenSearch => self.installation.opensearch.restart().await,
            Outage::Kafka => self.installation.kafka.restart(0).await,
        }
    }

    /// Loads a third while the sampler edits, for at least `least`. With `kill`, the process is killed in the middle.
    async fn phase(&mut self, name: &str, third: usize, least: Duration, kill: bool) -> PhaseLags {
        let (installation, stop, started) = (&self.installation, CancellationToken::new(), Instant::now());
        let (up, sampler, file): (_, _, &Path) = (&mut self.up, &mut self.sampler, &self.thirds[third]);
        let loading = async {
            installation.load(file).await;
            let loaded = started.elapsed();
            tokio::time::sleep(least.saturating_sub(loaded)).await;
            stop.cancel();
            loaded
        };
        let killing = async {
            if kill {
                tokio::time::sleep(least.mul_f64(KILL_AFTER)).await;
                up.take().expect("the process is running").kill().await;
                *up = Some(Process::start(&installation.setup).await);
            }
        };
        let (loaded, (), samples) = tokio::join!(loading, killing, sampler.run(&stop));
        assert!(samples.len() > 10, "only {} edits were measured", samples.len());
        let (loading, after): (Vec<Sample>, Vec<Sample>) = samples.into_iter().partition(|sample| sample.at < loaded);
        let lags = |samples: Vec<Sample>| samples.into_iter().map(|sample| sample.lag).collect::<Vec<_>>();
        let lags = PhaseLags { loading: lags(loading), after: lags(after) };
        let summary = |lags: &[Duration]| {
            let (median, late) = (percentile(lags, 50), percentile(lags, 99));
            format!("{median:.1?} (p99 {late:.1?}, {} edits)", lags.len())
        };
        report!(
            "  {name}{}: loaded in {loaded:.1?}, lag of the cache meanwhile {}, after it {}",
            if kill { ", with a kill -9" } else { "" },
            summary(&lags.loading),
            summary(&lags.after)
        );
        lags
    }

    async fn report_lanes(&self) {
        for lane in self.installation.lanes().await {
            let (name, depth) = (&lane["name"], &lane["depth"]);
            report!("    {name}: {depth} waiting, {} delivered since the start", lane["delivered"]);
        }
    }

    async fn assert_nothing_quarantined(&self) {
        let text = self.installation.command(0, &["quarantine", "list"]).await;
        assert!(text.ends_with("in quarantine: 0\n"), "{text}");
    }
}
