//! The account of a load: the number of lines by result, with the first examples of every refusal.

use super::{
    line::LinePosition,
    post::{PassingFailure, RefusedResponse},
};
use crate::text::grouped;
use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

/// Examples of each kind of refusal.
const EXAMPLES: usize = 3;
/// Longest detail of an example.
const DETAIL_MAX_CHARS: usize = 240;

/// Refusals of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedLines {
    /// Number of lines.
    pub count: u64,
    /// The first of them: position, resource and detail.
    pub examples: Vec<String>,
}

/// The results of all lines that were answered.
#[derive(Debug, Clone)]
pub struct Account {
    started: Instant,
    elapsed: Duration,
    /// Lines answered 201.
    pub created: u64,
    /// Lines answered with another success: the document existed, changed or not.
    pub existing: u64,
    /// Lines that were postponed once because an earlier one was still in flight.
    pub postponed: u64,
    /// Attempts that failed for a passing reason and were repeated.
    pub repeated: BTreeMap<PassingFailure, u64>,
    /// Refused lines by status and problem type; status 0 for lines that could not be posted.
    pub refusals: BTreeMap<(u16, String), RefusedLines>,
}

impl Default for Account {
    fn default() -> Self {
        let started = Instant::now();
        Self {
            started,
            elapsed: Duration::ZERO,
            created: 0,
            existing: 0,
            postponed: 0,
            repeated: BTreeMap::new(),
            refusals: BTreeMap::new(),
        }
    }
}

impl Account {
    pub(super) fn refuse(&mut self, position: &LinePosition, resource: &str, refused: &RefusedResponse) {
        let entry = self.refusals.entry((refused.status, refused.kind.clone())).or_default();
        entry.count += 1;
        if entry.examples.len() < EXAMPLES {
            let detail: String = refused.detail.chars().take(DETAIL_MAX_CHARS).collect();
            let space = if resource.is_empty() { "" } else { " " };
            entry.examples.push(format!("{position}{space}{resource}: {detail}"));
        }
    }

    pub(super) fn pass(&mut self, failures: Vec<PassingFailure>) {
        for failure in failures {
            *self.repeated.entry(failure).or_default() += 1;
        }
    }

    pub(super) fn close(&mut self) {
        self.elapsed = self.started.elapsed();
    }

    /// Returns the number of accepted lines.
    pub fn accepted(&self) -> u64 {
        self.created + self.existing
    }

    /// Returns the number of refused lines, including lines that could not be posted.
    pub fn refused(&self) -> u64 {
        self.refusals.values().map(|refusal| refusal.count).sum()
    }

    /// Returns the number of lines with a result.
    pub fn answered(&self) -> u64 {
        self.accepted() + self.refused()
    }

    /// Returns the duration of the load.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Returns the lines per second.
    pub fn rate(&self) -> f64 {
        self.answered() as f64 / seconds(self.elapsed)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} documents in {:.1} s ({:.0} per second): {} created, {} there already, {} refused",
            grouped(self.answered()),
            seconds(self.elapsed),
            self.rate(),
            grouped(self.created),
            grouped(self.existing),
            grouped(self.refused())
        )?;
        for (PassingFailure { status, kind }, count) in &self.repeated {
            match status {
                0 => writeln!(f, "  waited for: no response, {} attempts", grouped(*count))?,
                _ => writeln!(
                    f,
                    "  waited for: {}, {} attempts",
                    format!("{status} {kind}").trim_end(),
                    grouped(*count)
                )?,
            }
        }
        for ((status, kind), refusal) in &self.refusals {
            match status {
                0 => writeln!(f, "  not a request: {}", grouped(refusal.count))?,
                _ if kind.is_empty() => writeln!(f, "  {status}: {}", grouped(refusal.count))?,
                _ => writeln!(f, "  {status} {kind}: {}", grouped(refusal.count))?,
            }
            refusal.examples.iter().try_for_each(|example| writeln!(f, "      {example}"))?;
        }
        Ok(())
    }
}

/// Returns a duration in seconds, never zero.
pub(super) fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64().max(0.001)
}
