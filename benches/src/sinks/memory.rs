//! Memory of the process, as reported by the kernel.

use crate::failure::Failure;
use crate::table;
use std::collections::HashMap;

/// Memory at one moment, in MiB.
struct Sample {
    when: String,
    resident: f64,
    proportional: f64,
    anonymous: f64,
    peak: f64,
}

/// The samples of a run.
#[derive(Default)]
pub(super) struct Memory {
    samples: Vec<Sample>,
}

impl Memory {
    /// Samples the memory of a process.
    pub(super) fn sample(&mut self, when: impl Into<String>, pid: u32) -> Result<(), Failure> {
        let mut kib = fields(&format!("/proc/{pid}/smaps_rollup"))?;
        kib.extend(fields(&format!("/proc/{pid}/status"))?);
        let mib = |name: &str| -> Result<f64, Failure> {
            Ok(kib.get(name).ok_or_else(|| format!("the kernel does not report {name}"))? / 1024.0)
        };
        self.samples.push(Sample {
            when: when.into(),
            resident: mib("Rss")?,
            proportional: mib("Pss")?,
            anonymous: mib("Anonymous")?,
            peak: mib("VmHWM")?,
        });
        Ok(())
    }

    pub(super) fn print(&self) {
        let rows: Vec<Vec<String>> = self
            .samples
            .iter()
            .map(|sample| {
                let figures = [sample.resident, sample.proportional, sample.anonymous, sample.peak];
                let figures = figures.iter().map(|mib| format!("{mib:.0}"));
                std::iter::once(sample.when.clone()).chain(figures).collect()
            })
            .collect();
        table::print(
            "resident memory of `millstream up`, MiB; files that are mapped (the embedded index) count, the services do not",
            &["sinks, and when", "resident", "proportional", "of it anonymous", "peak so far"],
            &rows,
        );
    }
}

/// Parses lines such as `Rss:  1234 kB`.
fn fields(path: &str) -> Result<HashMap<String, f64>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let field = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let (figure, unit) = rest.trim().split_once(' ')?;
        (unit == "kB").then_some((name.to_owned(), figure.parse().ok()?))
    };
    Ok(text.lines().filter_map(field).collect())
}
