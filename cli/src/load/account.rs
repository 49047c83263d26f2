//! The account of a load: how many lines came to which end, with the first examples of every refusal.

use super::{line::Place, post::Refused, seconds};
use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    time::{Duration, Instant},
};

/// Examples kept of each kind of refusal.
const EXAMPLES: usize = 3;
/// Longest sentence shown of an example.
const DETAIL_MAX_CHARS: usize = 240;

/// Refusals of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// How many lines.
    pub count: u64,
    /// The first of them: place, resource and what was said.
    pub examples: Vec<String>,
}

/// What became of every line that was answered.
#[derive(Debug, Clone)]
pub struct Account {
    started: Instant,
    elapsed: Duration,
    /// Lines answered 201.
    pub created: u64,
    /// Lines answered with another success: the document was there, changed or not.
    pub existing: u64,
    /// Lines that were put off once because an earlier one was still in flight.
    pub put_off: u64,
    /// Refused lines by status and problem type; status 0 for lines that were no request at all.
    pub refusals: BTreeMap<(u16, String), Refusal>,
}

impl Default for Account {
    fn default() -> Self {
        let started = Instant::now();
        Self { started, elapsed: Duration::ZERO, created: 0, existing: 0, put_off: 0, refusals: BTreeMap::new() }
    }
}

impl Account {
    pub(super) fn refuse(&mut self, place: &Place, resource: &str, refused: &Refused) {
        let entry = self.refusals.entry((refused.status, refused.kind.clone())).or_default();
        entry.count += 1;
        if entry.examples.len() < EXAMPLES {
            let detail: String = refused.detail.chars().take(DETAIL_MAX_CHARS).collect();
            let space = if resource.is_empty() { "" } else { " " };
            entry.examples.push(format!("{place}{space}{resource}: {detail}"));
        }
    }

    pub(super) fn close(&mut self) {
        self.elapsed = self.started.elapsed();
    }

    /// Lines that were accepted.
    pub fn accepted(&self) -> u64 {
        self.created + self.existing
    }

    /// Lines that were refused, those that were no request included.
    pub fn refused(&self) -> u64 {
        self.refusals.values().map(|refusal| refusal.count).sum()
    }

    /// Lines that came to an end.
    pub fn answered(&self) -> u64 {
        self.accepted() + self.refused()
    }

    /// How long it took.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Lines a second.
    pub fn rate(&self) -> f64 {
        self.answered() as f64 / seconds(self.elapsed)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} documents in {:.1} s ({:.0} a second): {} created, {} there already, {} refused",
            grouped(self.answered()),
            seconds(self.elapsed),
            self.rate(),
            grouped(self.created),
            grouped(self.existing),
            grouped(self.refused())
        )?;
        for ((status, kind), refusal) in &self.refusals {
            match status {
                0 => writeln!(f, "  no request: {}", grouped(refusal.count))?,
                _ if kind.is_empty() => writeln!(f, "  {status}: {}", grouped(refusal.count))?,
                _ => writeln!(f, "  {status} {kind}: {}", grouped(refusal.count))?,
            }
            refusal.examples.iter().try_for_each(|example| writeln!(f, "      {example}"))?;
        }
        Ok(())
    }
}

/// A number with a comma between groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        // Writing to a string cannot fail.
        _ = text.write_char(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_threes() {
        let pairs = [(0, "0"), (999, "999"), (1_000, "1,000"), (26_255, "26,255"), (1_234_567, "1,234,567")];
        for (number, text) in pairs {
            assert_eq!(grouped(number), text);
        }
    }
}
