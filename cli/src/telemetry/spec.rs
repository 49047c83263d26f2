//! The declaration of a metric.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(dead_code, reason = "the same declaration serves crates with other kinds")]
pub(crate) enum MetricKind {
    /// Only increases.
    Counter,
    /// Any value.
    Gauge,
    /// A distribution.
    Histogram,
}

/// One metric: the single place of its name, kind, unit and help text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MetricSpec {
    /// Name of the series.
    pub(crate) name: &'static str,
    pub(crate) kind: MetricKind,
    /// `None` for a flag that is 0 or 1.
    pub(crate) unit: Option<Unit>,
    pub(crate) help: &'static str,
}

impl MetricSpec {
    /// Describes the metric to the recorder.
    pub(crate) fn describe(&self) {
        match (self.kind, self.unit) {
            (MetricKind::Counter, Some(unit)) => describe_counter!(self.name, unit, self.help),
            (MetricKind::Counter, None) => describe_counter!(self.name, self.help),
            (MetricKind::Gauge, Some(unit)) => describe_gauge!(self.name, unit, self.help),
            (MetricKind::Gauge, None) => describe_gauge!(self.name, self.help),
            (MetricKind::Histogram, Some(unit)) => describe_histogram!(self.name, unit, self.help),
            (MetricKind::Histogram, None) => describe_histogram!(self.name, self.help),
        }
    }
}
