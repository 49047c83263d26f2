//! Runs every command in README.md and docs/how-to/operate.md in order, on real services: each succeeds and prints the
//! output that the page shows.

use crate::installation::Installation;
use crate::page::{Example, Section, sections};
use crate::support::process::Process;
use crate::support::report;
use clap::Parser as _;
use millstream_cli::args::{Action, Arguments};
use millstream_testkit::{World, wait_until};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// The section that needs a document that Kafka refuses.
const QUARANTINE: &str = "Documents in quarantine";
/// Maximum size of a Kafka record in this test.
const RECORD_BYTES_MAX: usize = 4_000;
/// Characters of four bytes each, together larger than the maximum record.
const POISON_CHARACTERS: usize = 1_024;
/// Time until a delivered document must be found by a search.
const SEARCHABLE: Duration = Duration::from_secs(30);
/// Replaces the project of the pages with the project of the fixtures.
const PROJECT: (&str, &str) = ("ed-fi/", "meadow/");
/// Address of the API in the pages.
const ADDRESS: &str = "127.0.0.1:8080";
/// Flags whose values the setup of this test provides.
const SETUP_FLAGS: [&str; 2] = ["--schema", "--data-dir"];

/// Runs the examples of the pages.
struct PageRunner {
    installation: Installation,
    up: Process,
    document: String,
    version: String,
    poisoned: Option<String>,
    commands: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_on_the_pages_works() {
    let flag = format!("--kafka-record-bytes-max={RECORD_BYTES_MAX}");
    let flags = [flag.as_str(), "--queue-attempts-max=2", "--search-sink=opensearch"];
    let (mut installation, up) = Installation::new(World::fixtures(), &flags).await;
    // As the page demands: a removed sink is also removed from `sinks`.
    installation.setup.flags.retain(|flag| !flag.starts_with("--sinks="));
    installation.setup.flags.push("--sinks=opensearch,embedded".to_owned());
    let mut runner =
        PageRunner { installation, up, document: String::new(), version: String::new(), poisoned: None, commands: 0 };
    // Both pages add the Kafka sink.
    runner.installation.command(0, &["sink", "remove", "kafka"]).await;
    for section in sections("README.md") {
        runner.run(&section).await;
    }
    runner.installation.command(0, &["sink", "remove", "kafka"]).await;
    runner.write_document().await;
    let operating = sections("docs/how-to/operate.md");
    assert_eq!(
        operating.last().map(|section| section.title.as_str()),
        Some(QUARANTINE),
        "this section must be last: it skips a document"
    );
    for section in &operating {
        if section.title == QUARANTINE {
            runner.write_poison().await;
        }
        runner.run(section).await;
    }
    report!("{} commands of the pages were run", runner.commands);
    assert!(runner.commands > 30, "only {} commands were found", runner.commands);
    runner.up.stop().await;
}

impl PageRunner {
    async fn run(&mut self, section: &Section) {
        for example in &section.examples {
            self.run_example(section, example).await;
            self.commands += 1;
        }
    }

    async fn run_example(&self, section: &Section, example: &Example) {
        let shown = Example {
            command: self.filled(&example.command),
            shown: example.shown.iter().map(|line| line.replace(PROJECT.0, PROJECT.1)).collect(),
        };
        let words = shown.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.wait_as_the_page_says(&words).await;
        let output = match words.as_slice() {
            ["millstream", "up", ..] => return assert_it_starts(&words),
            ["millstream", rest @ ..] => self.installation.command(0, &without_setup(rest)).await,
            ["curl", rest @ ..] => curl_until_shown(rest, &shown).await,
            _ => panic!("{}: {:?} is neither millstream nor curl", section.title, example.command),
        };
        let missing = shown.missing_in(&output);
        assert!(missing.is_empty(), "{}: `{}` did not print {missing:#?} but:\n{output}", section.title, shown.command);
    }

    /// Waits as the page demands: until `status` shows that everything is delivered.
    async fn wait_as_the_page_says(&self, words: &[&str]) {
        if words.get(1) == Some(&"quarantine") {
            return self.wait_quarantined().await;
        }
        self.installation.wait_delivered().await;
    }

    fn filled(&self, command: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        command
            .replace("DOCUMENT_ID", &self.document)
            .replace("POISONED_ID", self.poisoned.as_deref().unwrap_or("POISONED_ID"))
            .replace(": VERSION", &format!(": {}", self.version))
            .replace("--version VERSION", &format!("--version {}", self.version))
            .replace(PROJECT.0, PROJECT.1)
            .replace(ADDRESS, self.up.http.address())
            .replace("schema/fixtures/", &format!("{}/schema/fixtures/", root.display()))
    }

    async fn write_document(&mut self) {
        let body = json!({"studentUniqueId": "documented-1", "firstName": "Amara", "lastSurname": "Abara",
                          "birthData": {"birthDate": "2014-01-01"}});
        let reply = self.up.http.post("meadow/students", body.to_string()).await;
        assert!(reply.is_success(), "{reply:?}");
        self.document = reply.id.expect("an id").to_string();
        self.version = reply.etag.expect("a version").to_string();
    }

    async fn write_poison(&mut self) {
        let body = json!({"namespace": "uri://office.example/TermDescriptor", "codeValue": "Poison",
                          "shortDescription": "Poison", "description": "𝓛".repeat(POISON_CHARACTERS)});
        let reply = self.up.http.post("meadow/termDescriptors", body.to_string()).await;
        assert!(reply.is_success(), "{reply:?}");
        self.poisoned = Some(reply.id.expect("an id").to_string());
    }

    async fn wait_quarantined(&self) {
        wait_until("the document to be in quarantine", Duration::from_secs(60), || async {
            self.installation.command(0, &["quarantine", "list"]).await.ends_with("in quarantine: 1\n")
        })
        .await;
    }
}

/// Checks a line that starts the process, which is already running: the line must parse as `up`.
fn assert_it_starts(words: &[&str]) {
    let arguments = Arguments::try_parse_from(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    assert!(matches!(arguments.command, Action::Up), "{words:?}");
}

/// Removes the flags of the setup with their values.
fn without_setup<'w>(words: &[&'w str]) -> Vec<&'w str> {
    let of_setup = |word: &&str| SETUP_FLAGS.contains(word);
    let is_value = |at: usize| at.checked_sub(1).is_some_and(|before| of_setup(&words[before]));
    words.iter().enumerate().filter(|(at, word)| !of_setup(word) && !is_value(*at)).map(|(_, word)| *word).collect()
}

/// Repeats a read until it prints what the page shows: a search finds a document only after the index's next refresh. At
/// the deadline returns the last output.
async fn curl_until_shown(arguments: &[&str], shown: &Example) -> String {
    let deadline = Instant::now() + SEARCHABLE;
    loop {
        let output = curl(arguments).await;
        if shown.missing_in(&output).is_empty() || Instant::now() >= deadline {
            return output;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["--fail", "--noproxy", "*"]).args(arguments).output().await;
    let output = output.expect("curl is installed");
    assert!(output.status.success(), "curl {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
