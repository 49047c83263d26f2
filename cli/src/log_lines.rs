//! Log lines on stderr.

use crate::config::Log;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Libraries whose own progress is no news to an operator. The configured filter comes after and may say otherwise.
const QUIET: &str = "fjall=warn,lsm_tree=warn";

/// Sends log lines to stderr. A second call changes nothing.
pub fn begin(options: &Log) {
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
