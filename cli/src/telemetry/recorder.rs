//! The recorder for the metrics of all crates.

use crate::failure::Failure;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pause between two rounds of the recorder's own maintenance.
const MAINTAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Upper bounds of histograms in milliseconds: fine in the range of the latency goals (tens of milliseconds), coarse
/// beyond.
const MILLISECONDS: [f64; 22] = [
    1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 70.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 6e4,
    3e5, 3.6e6,
];
/// Upper bounds of histograms in seconds.
const SECONDS: [f64; 16] =
    [0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0];

/// Upper bounds of histograms of documents.
const DOCUMENTS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_000.0];

/// Installs the recorder of this process. Fails when one is installed already.
pub(crate) fn install() -> Result<PrometheusHandle, Failure> {
    let recorder = build().map_err(Failure::failed)?;
    describe();
    Ok(recorder)
}

fn build() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_ms".to_owned()), &MILLISECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_documents".to_owned()), &DOCUMENTS)?
        .install_recorder()
}

/// Describes every metric of the binary. `docs/reference/metrics.md` has the same table.
pub fn describe() {
    millstream_api::metrics::describe();
    millstream_projector::metrics::describe();
    millstream_store::metrics::describe();
    millstream_writer::metrics::describe();
    super::metrics::describe();
}

/// Folds observed values into histograms and drops idle series, until stopped.
pub(crate) async fn maintain(recorder: PrometheusHandle, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(MAINTAIN_INTERVAL)).await.is_some() {
        recorder.run_upkeep();
    }
}
