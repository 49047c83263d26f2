//! Telemetry: metrics, log lines, spans and their export.

pub(crate) mod export;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod recorder;

pub use recorder::describe as describe_metrics;

use tracing::{Instrument, info_span, instrument::Instrumented};

/// Puts the root future of a task into a span with the name of the task, below the current span.
pub(crate) fn task<F: Future>(task: &'static str, future: F) -> Instrumented<F> {
    future.instrument(info_span!("task", task))
}
