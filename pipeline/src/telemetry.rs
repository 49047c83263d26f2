//! Declaring metrics once: name, kind, unit and help text in one table per crate.
//!
//! [`metric_table!`](crate::metric_table) turns a table into a constant per name, the list of all [`MetricSpec`]s, and
//! a function that registers them with the installed recorder of the `metrics` crate.

/// The behaviour of a metric over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only increases, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution of values.
    Histogram,
}

/// The unit of a metric's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricUnit {
    /// A number of things.
    Count,
    /// A number of things in a second.
    CountPerSecond,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// 0 or 1.
    Flag,
}

/// The declaration of one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricSpec {
    /// The name that it is recorded under.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// The unit of its value.
    pub unit: MetricUnit,
    /// One line for operators.
    pub help: &'static str,
}

/// Declares the metrics of a crate.
///
/// Defines a `&str` constant per metric, documented by its help text, `METRICS: &[MetricSpec]` with all of them, and
/// `describe()`, which registers them. The calling crate needs the `metrics` crate as a dependency.
///
/// ```
/// millstream_pipeline::metric_table! {
///     REQUESTS: &str = "example_requests_total", Counter, Count, "Requests answered";
///     CONNECTED: &str = "example_connected", Gauge, Flag, "1 while connected";
/// }
///
/// assert_eq!(REQUESTS, "example_requests_total");
/// assert_eq!((METRICS[1].name, METRICS[1].help), ("example_connected", "1 while connected"));
/// ```
#[macro_export]
macro_rules! metric_table {
    ($($constant:ident: &str = $name:literal, $kind:ident, $unit:ident, $help:literal;)+) => {
        $(
            #[doc = concat!($help, ".")]
            pub const $constant: &str = $name;
        )+

        /// All metrics of this crate.
        pub const METRICS: &[$crate::telemetry::MetricSpec] = &[
            $($crate::telemetry::MetricSpec {
                name: $name,
                kind: $crate::telemetry::MetricKind::$kind,
                unit: $crate::telemetry::MetricUnit::$unit,
                help: $help,
            },)+
        ];

        /// Registers the metrics with the installed recorder. Does nothing without one, and no harm when repeated.
        pub fn describe() {
            use $crate::telemetry::{MetricKind, MetricUnit};
            use ::metrics::Unit;
            for spec in METRICS {
                let unit = match spec.unit {
                    MetricUnit::Count => Some(Unit::Count),
                    MetricUnit::CountPerSecond => Some(Unit::CountPerSecond),
                    MetricUnit::Bytes => Some(Unit::Bytes),
                    MetricUnit::Milliseconds => Some(Unit::Milliseconds),
                    MetricUnit::Seconds => Some(Unit::Seconds),
                    MetricUnit::Flag => None,
                };
                let (name, help) = (spec.name.into(), spec.help.into());
                ::metrics::with_recorder(|recorder| match spec.kind {
                    MetricKind::Counter => recorder.describe_counter(name, unit, help),
                    MetricKind::Gauge => recorder.describe_gauge(name, unit, help),
                    MetricKind::Histogram => recorder.describe_histogram(name, unit, help),
                });
            }
        }
    };
}
