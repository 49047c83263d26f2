//! Output of the demo.

use crate::failure::Failure;
use std::io::Write;

/// Prints one line and flushes the output.
pub(super) fn say(out: &mut (dyn Write + Send), text: &str) -> Result<(), Failure> {
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Failure::failed)
}

/// Indents every line.
pub(super) fn indented(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("   {line}")).collect::<Vec<_>>().join("\n")
}
