//! Fuzzes the readers of everything that comes from outside: any bytes are refused or read without a panic, with
//! memory in proportion to their length, and what is read keeps the property that its target states.
//!
//! One program for all targets, because linking takes longer than a short run: `MILLSTREAM_FUZZ_TARGET` selects one.
//! Run with `make fuzz`. If `MILLSTREAM_FUZZ_SEEDS` names a folder, the program first writes the target's seeds to it.
#![no_main]

mod body;
mod configuration;
mod control;
mod fixture;
mod kafka;
mod opensearch;
mod query;
mod replication;

use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// Memory that reading may take for each byte of the input. JSON of few bytes becomes values of 72.
const BYTES_PER_BYTE: usize = 256;
/// Memory that reading may take for any input: buffers of fixed size, and texts of errors.
const BYTES_FOR_ANY: usize = 256 * 1024;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// A kind of input.
struct Target {
    name: &'static str,
    /// Valid inputs.
    seeds: fn() -> Vec<Vec<u8>>,
    /// Reads one input.
    read: fn(&[u8]),
}

static TARGETS: [Target; 10] = [
    Target { name: "body", seeds: body::seeds, read: body::read },
    Target { name: "query-string", seeds: query::strings, read: query::read_string },
    Target { name: "page-token", seeds: query::tokens, read: query::read_token },
    Target { name: "replication", seeds: replication::seeds, read: replication::read },
    Target { name: "change-record", seeds: kafka::changes, read: kafka::read_change },
    Target { name: "queue-record", seeds: kafka::queue_records, read: kafka::read_queue_record },
    Target { name: "document-record", seeds: kafka::documents, read: kafka::read_document },
    Target { name: "opensearch", seeds: opensearch::seeds, read: opensearch::read },
    Target { name: "control", seeds: control::seeds, read: control::read },
    Target { name: "configuration", seeds: configuration::seeds, read: configuration::read },
];

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let names = TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    let wanted =
        std::env::var("MILLSTREAM_FUZZ_TARGET").unwrap_or_else(|_| panic!("set MILLSTREAM_FUZZ_TARGET: {names}"));
    let found = TARGETS.iter().find(|target| target.name == wanted);
    found.unwrap_or_else(|| panic!("unknown target {wanted:?}: expected one of {names}"))
});

/// Writes the seeds, and reads them, so that what is loaded once does not count as memory of an input.
fn begin() {
    let folder = std::env::var_os("MILLSTREAM_FUZZ_SEEDS");
    for (number, seed) in (TARGET.seeds)().iter().enumerate() {
        (TARGET.read)(seed);
        if let Some(folder) = &folder {
            fs::write(Path::new(folder).join(format!("seed-{number}")), seed).expect("a seed is written");
        }
    }
}

fuzz_target!(init: begin(), |bytes: &[u8]| {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    (TARGET.read)(bytes);
    let taken = MEMORY.peak_usage().saturating_sub(before);
    let allowed = BYTES_FOR_ANY + BYTES_PER_BYTE * bytes.len();
    assert!(taken <= allowed, "{} bytes of input took {taken} bytes of memory, {allowed} are allowed", bytes.len());
});
