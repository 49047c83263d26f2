//! Log lines on stderr, and the export of spans.

use super::export::{self, SpanExport};
use crate::{
    config::{Log, Telemetry},
    failure::Failure,
};
use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// Libraries whose progress messages are of no interest to operators. The configured filter follows and can override it.
const QUIET: &str = "fjall=warn,lsm_tree=warn,tokio_postgres=warn";

/// Installs the subscriber of the process. Needs a running tokio runtime if spans are exported. A second call changes
/// nothing.
///
/// # Errors
/// When the export cannot be set up.
pub(crate) fn install(log: &Log, telemetry: &Telemetry) -> Result<SpanExport, Failure> {
    // The filter was checked with the configuration.
    let filter = EnvFilter::try_new(format!("{QUIET},{}", log.filter)).unwrap_or_default();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if log.json {
        lines.json().flatten_event(true).boxed()
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).boxed()
    };
    let (spans, export) = export::layer(telemetry)?;
    let installed = tracing_subscriber::registry().with(spans).with(lines.with_filter(filter)).try_init();
    if installed.is_err() {
        tracing::debug!("the subscriber was installed before");
    }
    Ok(export)
}
