//! The Python reader of the documents topic in `docs/reference/topic-contract.md`, which rebuilds all documents from the topic
//! alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// The page with the topic's contract.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/topic-contract.md");

/// Runs the reader; returns version and text of each document by id.
///
/// # Panics
/// When no Python has the Kafka client, or the reader fails; the message contains its output.
#[must_use]
pub fn rebuild_from_topic(bootstrap_servers: &str, topic: &str) -> BTreeMap<String, (i64, String)> {
    let output =
        Command::new(python()).args(["-c", &reader(), bootstrap_servers, topic]).output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let document = |line: &str| {
        let mut words = line.splitn(3, '\t');
        let mut word = || words.next().unwrap_or_else(|| panic!("three parts: {line}")).to_owned();
        let (id, version, document) = (word(), word(), word());
        (id, (version.parse().expect("a number"), document))
    };
    text.lines().map(document).collect()
}

/// Returns the page's Python block.
fn reader() -> String {
    let page = std::fs::read_to_string(Path::new(PAGE)).expect("the page exists");
    let (_, rest) = page.split_once("```python\n").expect("the page has a Python block");
    rest.split_once("\n```").expect("the block ends").0.to_owned()
}

/// Finds a Python that has the Kafka client; Debian's own first.
fn python() -> &'static str {
    let has_client = |python: &&&str| {
        let output = Command::new(python).args(["-c", "import confluent_kafka"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let python = ["/usr/bin/python3", "python3"].iter().find(has_client);
    python.expect("a python3 with confluent_kafka: run scripts/services install")
}
