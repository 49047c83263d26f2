//! Reports of tests that skip their work.

use std::io::{self, Write};

/// Reports that the test of this thread skips its work, on the standard error of the process, which the test harness does not
/// capture. `scripts/test` counts these lines.
pub(crate) fn report_skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    io::stderr().lock().write_all(format!("skipped: {test}: {reason}\n").as_bytes()).unwrap_or_default();
}
