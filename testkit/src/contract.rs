//! The reader of the documents topic in another language, as `docs/reference/topic-contract.md` has it: what it rebuilds from the
//! topic alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// The page that says what the topic is.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/topic-contract.md");

/// What the reader rebuilds: by id the version and the text of each document.
///
/// # Panics
/// When no Python has the client of Kafka, or the reader fails: with what it says.
#[must_use]
pub fn rebuild_from_topic(bootstrap_servers: &str, topic: &str) -> BTreeMap<String, (i64, String)> {
    let read = Command::new(python()).args(["-c", &reader(), bootstrap_servers, topic]).output().expect("python runs");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let text = String::from_utf8(read.stdout).expect("text");
    let document = |line: &str| {
        let mut words = line.splitn(3, '\t');
        let mut word = || words.next().unwrap_or_else(|| panic!("three parts: {line}")).to_owned();
        let (id, version, document) = (word(), word(), word());
        (id, (version.parse().expect("a number"), document))
    };
    text.lines().map(document).collect()
}

/// The block of the page that is a program.
fn reader() -> String {
    let page = std::fs::read_to_string(Path::new(PAGE)).expect("the page is there");
    let (_, rest) = page.split_once("```python\n").expect("it has such a block");
    rest.split_once("\n```").expect("the block ends").0.to_owned()
}

/// A Python that has the client; Debian's own first.
fn python() -> &'static str {
    let has_client = |python: &&&str| {
        let tried = Command::new(python).args(["-c", "import confluent_kafka"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let found = ["/usr/bin/python3", "python3"].iter().find(has_client);
    found.expect("a python3 with confluent_kafka: run scripts/services install")
}
