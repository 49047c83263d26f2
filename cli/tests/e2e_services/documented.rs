//! What README.md and docs/how-to/operate.md tell an operator to type, typed in that order, on real services: every command
//! ends well and prints what the page shows.

use crate::page::{Example, Section, sections};
use crate::place::Place;
use crate::support::child::Up;
use crate::support::say;
use clap::Parser as _;
use millstream_cli::args::{Action, Arguments};
use millstream_testkit::{World, wait_until};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// The section that needs a document which Kafka refuses.
const QUARANTINE: &str = "Documents in quarantine";
/// A record of Kafka that is larger is refused here.
const RECORD_BYTES_MAX: usize = 4_000;
/// Characters of four bytes each: more than such a record holds.
const POISON_CHARACTERS: usize = 1_024;
/// The pages speak of the project that their readers have; the test has another.
const PROJECT: (&str, &str) = ("ed-fi/", "meadow/");
/// Where the pages have the API.
const ADDRESS: &str = "127.0.0.1:8080";
/// Flags that say where things are, which this test's setup says itself.
const OF_THE_SETUP: [&str; 2] = ["--schema", "--data-dir"];

/// Types what the pages say.
struct Reader {
    place: Place,
    up: Up,
    document: String,
    version: String,
    poisoned: Option<String>,
    typed: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_on_the_pages_works() {
    let flag = format!("--kafka-record-bytes-max={RECORD_BYTES_MAX}");
    let flags = [flag.as_str(), "--queue-attempts-max=2", "--search-sink=opensearch"];
    let (mut place, up) = Place::new(World::fixtures(), &flags).await;
    // Whoever removes a sink takes it out of `sinks`, the page says.
    place.setup.flags.retain(|flag| !flag.starts_with("--sinks="));
    place.setup.flags.push("--sinks=opensearch,embedded".to_owned());
    let mut reader = Reader { place, up, document: String::new(), version: String::new(), poisoned: None, typed: 0 };
    // Both pages add it.
    reader.place.command(0, &["sink", "remove", "kafka"]).await;
    for section in sections("README.md") {
        reader.read(&section).await;
    }
    reader.place.command(0, &["sink", "remove", "kafka"]).await;
    reader.writes_a_document().await;
    let operating = sections("docs/how-to/operate.md");
    assert_eq!(
        operating.last().map(|section| section.title.as_str()),
        Some(QUARANTINE),
        "it comes last: it leaves a gap"
    );
    for section in &operating {
        if section.title == QUARANTINE {
            reader.writes_poison().await;
        }
        reader.read(section).await;
    }
    say!("{} commands of the pages were run", reader.typed);
    assert!(reader.typed > 30, "only {} commands were found", reader.typed);
    reader.up.stop().await;
}

impl Reader {
    async fn read(&mut self, section: &Section) {
        for example in &section.examples {
            self.type_in(section, example).await;
            self.typed += 1;
        }
    }

    async fn type_in(&self, section: &Section, example: &Example) {
        let shown = Example {
            command: self.filled(&example.command),
            shown: example.shown.iter().map(|line| line.replace(PROJECT.0, PROJECT.1)).collect(),
        };
        let words = shown.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.wait_as_the_page_says(&words).await;
        let output = match words.as_slice() {
            ["millstream", "up", ..] => return assert_it_starts(&words),
            ["millstream", rest @ ..] => self.place.command(0, &without_setup(rest)).await,
            ["curl", rest @ ..] => curl(rest).await,
            _ => panic!("{}: {:?} is neither millstream nor curl", section.title, example.command),
        };
        let missing = shown.missing_in(&output);
        assert!(missing.is_empty(), "{}: `{}` did not print {missing:#?} but:\n{output}", section.title, shown.command);
    }

    /// The page tells its reader to look at `status` before he goes on.
    async fn wait_as_the_page_says(&self, words: &[&str]) {
        if words.get(1) == Some(&"quarantine") {
            return self.wait_quarantined().await;
        }
        self.place.wait_delivered().await;
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

    async fn writes_a_document(&mut self) {
        let body = json!({"studentUniqueId": "documented-1", "firstName": "Amara", "lastSurname": "Abara",
                          "birthData": {"birthDate": "2014-01-01"}});
        let reply = self.up.http.post("meadow/students", body.to_string()).await;
        assert!(reply.is_success(), "{reply:?}");
        self.document = reply.id.expect("an id").to_string();
        self.version = reply.etag.expect("a version").to_string();
    }

    async fn writes_poison(&mut self) {
        let body = json!({"namespace": "uri://office.example/TermDescriptor", "codeValue": "Poison",
                          "shortDescription": "Poison", "description": "𝓛".repeat(POISON_CHARACTERS)});
        let reply = self.up.http.post("meadow/termDescriptors", body.to_string()).await;
        assert!(reply.is_success(), "{reply:?}");
        self.poisoned = Some(reply.id.expect("an id").to_string());
    }

    async fn wait_quarantined(&self) {
        wait_until("the document to be in quarantine", Duration::from_secs(60), || async {
            self.place.command(0, &["quarantine", "list"]).await.ends_with("in quarantine: 1\n")
        })
        .await;
    }
}

/// It runs already: its line has to be one that starts it.
fn assert_it_starts(words: &[&str]) {
    let arguments = Arguments::try_parse_from(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    assert!(matches!(arguments.command, Action::Up), "{words:?}");
}

/// A command without the flags that say where things are, each of which has a value.
fn without_setup<'w>(words: &[&'w str]) -> Vec<&'w str> {
    let of_setup = |word: &&str| OF_THE_SETUP.contains(word);
    let is_value = |at: usize| at.checked_sub(1).is_some_and(|before| of_setup(&words[before]));
    words.iter().enumerate().filter(|(at, word)| !of_setup(word) && !is_value(*at)).map(|(_, word)| *word).collect()
}

async fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["--fail", "--noproxy", "*"]).args(arguments).output().await;
    let output = output.expect("curl is installed");
    assert!(output.status.success(), "curl {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
