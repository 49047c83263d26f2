//! Shared by the tests of this crate: paths of the schema files.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod refusal;

use std::io::Write;
use std::path::{Path, PathBuf};

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the core file and the extension file of the small schema.
pub(crate) fn fixture_files() -> [PathBuf; 2] {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    [fixtures.join("meadow.ApiSchema.json"), fixtures.join("brook.ApiSchema.json")]
}

/// Returns the file with the documents of the small schema, one per line.
pub(crate) fn fixture_documents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/documents.jsonl")
}

/// Returns the published files of Data Standard 5.2, TPDM and Sample. Prints a note and returns `None` if they are
/// absent.
pub(crate) fn corpus_files() -> Option<[PathBuf; 3]> {
    let corpus = std::env::var_os("MILLSTREAM_CORPUS").map_or_else(|| root().join("../shared/corpus"), PathBuf::from);
    let files = ["ed-fi-5.2", "tpdm-1.1.0", "sample-1.0.0"]
        .map(|name| corpus.join("apischema").join(format!("{name}.ApiSchema.json")));
    if files.iter().all(|file| file.exists()) {
        return Some(files);
    }
    // The harness does not capture the stream itself: a test that skips its work must not look as if it had done it.
    let (thread, place) = (std::thread::current(), corpus.display());
    let test = thread.name().unwrap_or("a test");
    let line = format!("skipped: {test}: no corpus at {place} (MILLSTREAM_CORPUS names another place)\n");
    std::io::stderr().lock().write_all(line.as_bytes()).unwrap_or_default();
    None
}
