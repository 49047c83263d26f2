//! Runs the test's own executable as a process to be killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a test with this variable set to the folder of its queue, lets it accept some batches, which it prints, and kills
/// it. Returns the last batch that was accepted.
pub(crate) fn kill(test: &str, variable: &str, path: &Path, mut accepted: i64, batches: usize) -> i64 {
    let mut victim = Command::new(std::env::current_exe().expect("this test is a file"))
        .args(["--exact", test, "--nocapture"])
        .env(variable, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("this test runs again");
    let lines = BufReader::new(victim.stdout.take().expect("a pipe")).lines();
    let mut seen = 0;
    // Lines printed before the kill are still in the pipe, and count.
    for line in lines {
        let Some(batch) = line.expect("text").strip_prefix("accepted ").map(str::to_owned) else { continue };
        let batch: i64 = batch.parse().expect("a number");
        assert_eq!(batch, accepted + 1, "batches are accepted in order");
        accepted = batch;
        seen += 1;
        if seen == batches {
            victim.kill().expect("SIGKILL");
        }
    }
    assert!(seen >= batches, "the victim ended by itself after {seen} batches");
    victim.wait().expect("the victim is gone");
    accepted
}
