//! Programs that have to succeed.

use std::process::Command;

/// Runs a program to its end.
///
/// # Panics
/// When it does not start or fails; the message contains its standard error.
pub fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
