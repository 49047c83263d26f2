//! The tasks of an operator on a running installation, with the commands that `docs/` shows.

use crate::installation::Installation;
use crate::support::http::Http;
use crate::support::process::{Process, run};
use crate::support::{loaded, loading, report};
use millstream_testkit::{World, wait_until};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Maximum size of a Kafka record in this test.
const RECORD_BYTES_MAX: usize = 4_000;
/// Maximum length of a descriptor's description in characters; the test uses characters of four bytes.
const DESCRIPTION_MAX: usize = 1_024;

/// An installation with a running process, and the commands of its operator.
pub(crate) struct Operator {
    pub(crate) installation: Installation,
    pub(crate) up: Process,
    pub(crate) students: String,
}

async fn start() -> Operator {
    let flag = format!("--kafka-record-bytes-max={RECORD_BYTES_MAX}");
    let world = World::fixtures();
    let (installation, up) =
        Installation::new(world, &[&flag, "--queue-attempts-max=2", "--search-sink=opensearch"]).await;
    loading::load(&up.http, &world.mapping, &loaded::documents(world)).await;
    installation.wait_delivered().await;
    Operator { installation, up, students: "meadow/students".to_owned() }
}

pub(crate) fn student(number: usize, name: &str) -> Value {
    json!({"studentUniqueId": format!("office-{number}"), "firstName": name, "lastSurname": "Abara",
           "birthData": {"birthDate": "2014-01-01"}})
}

/// Runs all tasks on one installation; each task starts from a verified state.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_adds_removes_replays_repairs_and_verifies() {
    let mut operator = start().await;
    operator.pauses_and_resumes().await;
    operator.removes_and_adds_a_sink().await;
    operator.handles_poison().await;
    operator.replays().await;
    operator.rebuilds_the_cache_under_load().await;
    let mut operator = operator.continues_a_replay_after_a_kill().await;
    operator.repairs_a_damaged_index().await;
    operator.waits_for_a_copy().await;
    operator.builds_an_index_beside_the_live_one().await;
    operator.matches_the_topic().await;
    operator.keeps_a_second_database_out().await;
    operator.starts_with_new_copies_after_a_restore().await;
}

impl Operator {
    pub(crate) async fn post(&self, number: usize, name: &str) -> (String, i64) {
        let reply = self.up.http.post(&self.students, student(number, name).to_string()).await;
        assert!(reply.is_success(), "{reply:?}");
        (reply.id.expect("an id").to_string(), reply.etag.expect("a version"))
    }

    /// Posts the descriptor `Poison` with this description; returns its id.
    async fn describe(&self, description: &str) -> String {
        let body = json!({"namespace": "uri://operator.example/TermDescriptor", "codeValue": "Poison",
                          "shortDescription": "Poison", "description": description});
        let reply = self.up.http.post("meadow/termDescriptors", body.to_string()).await;
        assert!(reply.is_success(), "{reply:?}");
        reply.id.expect("an id").to_string()
    }

    pub(crate) async fn command(&self, code: i32, arguments: &[&str]) -> String {
        self.installation.command(code, arguments).await
    }

    async fn pauses_and_resumes(&mut self) {
        self.command(0, &["sink", "pause", "kafka"]).await;
        self.post(1, "Paused").await;
        wait_until("an entry to wait", Duration::from_secs(30), || async {
            self.installation.lanes().await.iter().any(|lane| lane["name"] == "kafka" && lane["depth"] == 1)
        })
        .await;
        assert!(self.command(0, &["status"]).await.contains("PAUSED"));
        self.command(0, &["sink", "resume", "kafka"]).await;
        self.installation.wait_delivered().await;
    }

    async fn removes_and_adds_a_sink(&mut self) {
        self.command(2, &["sink", "remove", "nowhere"]).await;
        self.command(2, &["sink", "add", "kafka"]).await;
        self.command(0, &["sink", "remove", "kafka"]).await;
        self.post(2, "Missed by Kafka").await;
        self.command(0, &["sink", "add", "kafka", "--per-s=2000"]).await;
        self.installation.wait_delivered().await;
        self.installation.verify().await;
    }

    async fn handles_poison(&mut self) {
        let huge = self.describe(&"𝓛".repeat(DESCRIPTION_MAX)).await;
        wait_until("the document to be in quarantine", Duration::from_secs(60), || async {
            self.command(0, &["quarantine", "list"]).await.ends_with("in quarantine: 1\n")
        })
        .await;
        let shown = self.command(0, &["quarantine", "show", &huge, "--at=kafka"]).await;
        assert!(shown.contains("𝓛𝓛") && shown.contains(&RECORD_BYTES_MAX.to_string()), "{shown}");
        let diff = self.command(0, &["quarantine", "diff", &huge]).await;
        assert!(diff.contains("-nothing") && diff.contains("+  \"description\": \"𝓛"), "{diff}");
        assert!(self.command(1, &["verify"]).await.contains("kafka missing: 1"), "verify reports the document");
        assert!(self.command(0, &["quarantine", "retry", &huge]).await.contains("released: 1"));
        wait_until("the document to be in quarantine again", Duration::from_secs(60), || async {
            self.command(0, &["quarantine", "list"]).await.ends_with("in quarantine: 1\n")
        })
        .await;
        // A newer version that fits clears the quarantine.
        self.describe("Short").await;
        self.installation.wait_delivered().await;
        assert!(self.command(0, &["quarantine", "list"]).await.ends_with("in quarantine: 0\n"));
        self.command(2, &["quarantine", "skip", &huge]).await;
        self.installation.verify().await;
    }

    async fn replays(&mut self) {
        let (id, _) = self.post(4, "Replayed").await;
        let dry = self.command(0, &["replay", "--document", &id, "--dry-run"]).await;
        assert!(dry.ends_with("would be replayed: 1\n"), "{dry}");
        let replayed = self.command(0, &["replay", "--resource", &self.students, "--to=opensearch"]).await;
        assert!(replayed.contains("entries enqueued"), "{replayed}");
        self.command(0, &["replay", "--since=1h", "--to=kafka", "--per-s=5000"]).await;
        self.command(2, &["replay", "--outbox=9..1"]).await;
        self.command(0, &["replay", "--cancel"]).await;
        self.command(0, &["rebuild", "cache"]).await;
        self.installation.wait_delivered().await;
        self.installation.verify().await;
    }

    /// Verify finds and restores a document that another client removed from the index.
    async fn repairs_a_damaged_index(&mut self) {
        let (id, version) = self.post(5, "Lost").await;
        self.installation.wait_delivered().await;
        self.installation.lose(&id, version).await;

        let text = self.command(1, &["verify", "--repair"]).await;
        assert!(text.contains("missing: 1") && text.contains(&id), "{text}");
        self.installation.wait_delivered().await;
        self.installation.verify().await;
    }

    async fn waits_for_a_copy(&mut self) {
        let (_, version) = self.post(6, "Awaited").await;
        for sink in ["kafka", "opensearch"] {
            self.command(0, &["wait", "--version", &version.to_string(), "--sink", sink]).await;
        }
        self.command(0, &["wait", "--version", &version.to_string()]).await;
        self.command(2, &["wait", "--version", "999999999"]).await;
        self.command(0, &["sink", "pause", "kafka"]).await;
        let (_, later) = self.post(6, "Awaited in vain").await;
        let late = ["wait", "--version", &later.to_string(), "--sink=kafka", "--timeout-s=1"];
        self.command(3, &late).await;
        self.command(0, &["sink", "resume", "kafka"]).await;
    }

    async fn builds_an_index_beside_the_live_one(&mut self) {
        let stop = CancellationToken::new();
        let editing = edit(self.up.http.clone(), self.students.clone(), stop.clone());
        let searching = search(self.up.http.clone(), self.students.clone(), stop.clone());
        let swapping = async {
            self.build().await;
            let compared = run(&self.installation.setup, &["index", "compare", "opensearch"]).await;
            // Exit code 3: the last edits may still be in flight.
            assert!(matches!(compared.0, Some(0 | 3)) && compared.1.contains("differences: 0\n"), "{compared:?}");
            self.command(0, &["index", "swap", "opensearch"]).await;
            self.sees_its_own_writes().await;
            self.command(0, &["index", "rollback", "opensearch"]).await;
            self.sees_its_own_writes().await;
            self.command(0, &["index", "swap", "opensearch"]).await;
            stop.cancel();
        };
        let (edits, searches, ()) = tokio::join!(editing, searching, swapping);
        assert!(edits > 0 && searches > 20, "{edits} edits and {searches} searches meanwhile");
        report!("built, swapped, rolled back: {edits} edits and {searches} searches meanwhile, no wrong result");
        self.command(2, &["index", "drop", "opensearch", "2"]).await;
        self.command(0, &["index", "drop", "opensearch", "1"]).await;
        assert_eq!(self.command(0, &["index", "list", "opensearch"]).await.lines().count(), 1);
    }

    async fn build(&self) {
        let built = self.command(0, &["index", "build", "opensearch"]).await;
        assert!(built.contains("generation 2"), "{built}");
        wait_until("the new generation to be built", Duration::from_secs(60), || async {
            let listed = self.command(0, &["index", "list", "opensearch"]).await;
            let lanes = self.installation.lanes().await;
            let done = |lane: &Value| lane["name"] != "opensearch-g2" || lane["replay"]["state"] == "done";
            listed.lines().count() == 2 && lanes.len() == 4 && lanes.iter().all(done)
        })
        .await;
        self.command(0, &["wait", "--version=1", "--sink=opensearch-g2"]).await;
    }

    /// Checks that a search with the version of a write finds that write.
    async fn sees_its_own_writes(&self) {
        for round in 0..5 {
            let name = format!("Round {round}");
            let (_, version) = self.post(7, &name).await;
            let query = format!("{}?studentUniqueId=office-7&totalCount=true", self.students);
            let found = self.up.http.search(&query, Some(version)).await;
            assert_eq!(found.status, 200, "{found:?}");
            let found = found.json();
            assert_eq!(
                (&found["totalCount"], &found["documents"][0]["firstName"]),
                (&json!(1), &json!(name)),
                "{found}"
            );
        }
    }
}

/// Searches for a document that is not edited until `stop` is cancelled; every search must find it exactly once.
async fn search(http: Http, students: String, stop: CancellationToken) -> usize {
    let mut searches = 0;
    while !stop.is_cancelled() {
        let found = http.search(&format!("{students}?studentUniqueId=office-1&totalCount=true"), None).await;
        assert_eq!(found.status, 200, "{found:?}");
        let found = found.json();
        assert_eq!(found["totalCount"], 1, "{found}");
        assert_eq!(found["documents"][0]["firstName"], "Paused", "{found}");
        searches += 1;
    }
    searches
}

async fn edit(http: Http, path: String, stop: CancellationToken) -> usize {
    let mut edits = 0;
    while !stop.is_cancelled() {
        let reply = http.post(&path, student(8, &format!("Edit {edits}")).to_string()).await;
        assert!(reply.is_success(), "{reply:?}");
        edits += 1;
    }
    edits
}
