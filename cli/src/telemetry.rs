//! Log lines on stderr, and the recorder that the metrics of all crates go to.

use crate::config::Log;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Upper bounds of histograms in milliseconds: fine where the promises are (tens of milliseconds), coarse beyond.
pub const MILLISECONDS: [f64; 22] = [
    1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 70.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 6e4,
    3e5, 3.6e6,
];
/// The same for histograms in seconds.
const SECONDS: [f64; 16] =
    [0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0];

/// Libraries whose own progress is no news to an operator. The configured filter comes after and may say otherwise.
const QUIET: &str = "fjall=warn,lsm_tree=warn";

/// Sends log lines to stderr. A second call changes nothing.
pub fn log(options: &Log) {
    // The filter was checked with the configuration; a default one is better than none.
    let filter = EnvFilter::try_new(format!("{QUIET},{}", options.filter)).unwrap_or_default();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = if options.json {
        lines.json().flatten_event(true).try_init()
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).try_init()
    };
    if installed.is_err() {
        tracing::debug!("log lines were set up before");
    }
}

/// Installs the recorder of this process. Fails when there is one already.
pub fn record() -> Result<PrometheusHandle, BuildError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_ms".to_owned()), &MILLISECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
    describe();
    Ok(recorder)
}

/// Says of every metric of this binary what it means and in which unit. `docs/operating.md` has the same table.
pub fn describe() {
    millstream_api::metric::describe();
    millstream_projector::metrics::describe();
    millstream_store::retry::describe();
    crate::up::describe();
    crate::up::describe_publish();
}
