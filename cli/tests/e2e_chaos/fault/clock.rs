//! A clock that steps. libfaketime gives the processes their time.

use super::under_traffic;
use crate::installation::Installation;
use crate::support::random::Random;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Where distributions install the library.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];
/// Names another place.
const VARIABLE: &str = "MILLSTREAM_TEST_FAKETIME";
/// Limit of a start with the library, in seconds.
const START_MAX_S: &str = "10";
const FILE: &str = "clock";
/// How long the clock stays after each step.
const STAY: Duration = Duration::from_secs(4);
/// The offsets of the steps, in the notation of the library.
const STEPS: [&str; 4] = ["+1h", "+0", "-1h", "+0"];

fn library() -> Option<PathBuf> {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    named.into_iter().chain(LIBRARIES.map(PathBuf::from)).find(|file| file.exists())
}

pub(super) fn impossible() -> Option<String> {
    let Some(library) = library() else {
        return Some(format!("libfaketime is not installed (Debian: libfaketime), and {VARIABLE} names none"));
    };
    let mut probe = Command::new("timeout");
    probe.args([START_MAX_S, env!("CARGO_BIN_EXE_millstream"), "--version"]).env("LD_PRELOAD", &library);
    let starts = probe.output().is_ok_and(|output| output.status.success());
    // Version 0.9.10 hangs before `main`, most likely with the allocator (jemalloc).
    (!starts).then(|| format!("millstream does not start with {}", library.display()))
}

/// The environment of processes that take their time from a file in this folder. Monotonic time is the real one.
pub(crate) fn environment(folder: &Path) -> Vec<(String, String)> {
    let file = folder.join(FILE);
    std::fs::write(&file, STEPS[1]).expect("the file is written");
    let library = library().expect("trials without the library are skipped");
    let variables = [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

/// Steps forward, back, backward, and forth again.
pub(super) async fn step(installation: &mut Installation, random: &mut Random) {
    let file = installation.folder.path().join(FILE);
    let fault = async {
        for offset in STEPS {
            std::fs::write(&file, offset).expect("the file is written");
            tokio::time::sleep(STAY).await;
        }
    };
    under_traffic(&installation.traffic, random, fault).await;
}
