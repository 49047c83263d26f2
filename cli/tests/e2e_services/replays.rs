//! Rebuild of the cache during reads and edits, a replay interrupted by a kill, and the resulting contents of the topic.

use crate::operator::{Operator, student};
use crate::support::http::Http;
use crate::support::process::Process;
use crate::support::report;
use millstream_store::compose::envelope;
use millstream_testkit::contract::rebuild_from_topic;
use millstream_testkit::{wait_for, wait_until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const WITHIN: Duration = Duration::from_secs(120);
/// Rate of the interrupted replay, in entries per second.
const PER_S: u64 = 15;

impl Operator {
    /// FRESH: reads during the rebuild of the cache return the last answered version.
    pub(crate) async fn rebuilds_the_cache_under_load(&self) {
        let stop = CancellationToken::new();
        let reading = edit_and_read(self.up.http.clone(), self.students.clone(), stop.clone());
        let rebuilding = async {
            self.command(0, &["rebuild", "cache", "--per-s=40"]).await;
            stop.cancel();
        };
        let (read, ()) = tokio::join!(reading, rebuilding);
        self.installation.wait_delivered().await;
        assert!(read > 20, "{read} edits were read back meanwhile");
        report!("the cache was rebuilt: {read} edits were read back meanwhile, each as it was answered");
        self.installation.verify().await;
    }

    /// RECOVERABLE: the position of a replay is durable.
    pub(crate) async fn continues_a_replay_after_a_kill(self) -> Self {
        self.command(0, &["replay", "--to=kafka", "--detach", &format!("--per-s={PER_S}")]).await;
        let seen = wait_for("a part to be enqueued", WITHIN, || async {
            let replay = self.replay().await;
            (replay["done"].as_u64()? >= PER_S).then_some(replay)
        })
        .await;
        assert_eq!(seen["state"], "running", "{seen}");
        let Self { installation, up, students } = self;
        up.kill().await;
        let up = Process::start(&installation.setup).await;
        let operator = Self { installation, up, students };
        let after = wait_for("the lane to report the replay", WITHIN, || async {
            Some(operator.replay().await).filter(|replay| replay["done"].is_u64())
        })
        .await;
        assert!(after["done"].as_u64() >= seen["done"].as_u64() && after["total"] == seen["total"], "{seen} {after}");
        assert_eq!(after["state"], "running", "the replay continues: {seen} {after}");
        wait_until("the rest to be enqueued", WITHIN, || async { operator.replay().await["state"] == "done" }).await;
        let ended = operator.replay().await;
        assert!(ended["done"].as_u64() >= ended["total"].as_u64(), "{ended}");
        report!(
            "a replay was interrupted at {} of {} and continued from {}",
            seen["done"],
            seen["total"],
            after["done"]
        );
        operator.installation.wait_delivered().await;
        operator.installation.verify().await;
        operator
    }

    /// Returns the status of the replay into the Kafka lane.
    async fn replay(&self) -> Value {
        let lanes = self.installation.lanes().await;
        lanes.into_iter().find(|lane| lane["name"] == "kafka").map_or(Value::Null, |lane| lane["replay"].clone())
    }

    /// CONVERGE: a reader in another language, written from the topic contract alone, finds in the topic exactly the
    /// documents of the cache, byte for byte, and no deleted ones.
    pub(crate) async fn matches_the_topic(&self) {
        let (gone, _) = self.post(77, "Deleted").await;
        self.installation.wait_delivered().await;
        let deleted = self.up.http.try_delete(&format!("{}/{gone}", self.students)).await.expect("a response");
        assert!(deleted.is_success(), "{deleted:?}");
        self.installation.wait_delivered().await;
        let servers = self.installation.kafka.bootstrap_servers();
        let read = tokio::task::spawn_blocking(move || rebuild_from_topic(&servers, "edfi.documents.v1"));
        let read = read.await.expect("the reader ends");
        assert!(!read.contains_key(&gone));
        assert_eq!(read, self.cached().await);
        report!("the contract reader rebuilt {} documents, equal to the cache", read.len());
    }

    async fn cached(&self) -> BTreeMap<String, (i64, String)> {
        let client = self.installation.database.database().get().await.expect("a connection");
        let sql = r#"SELECT "DocumentUuid", "ContentVersion", "LastModifiedAt", "Body" FROM "dms"."DocumentCache""#;
        let rows = client.query(sql, &[]).await.expect("the cache can be read");
        let document = |row: &tokio_postgres::Row| {
            let (uuid, version, body): (Uuid, i64, &str) = (row.get(0), row.get(1), row.get(3));
            let json = envelope(body.as_bytes(), uuid, version, row.get(2));
            (uuid.to_string(), (version, String::from_utf8(json).expect("text")))
        };
        rows.iter().map(document).collect()
    }
}

/// Edits one document and reads it back until `stop` is cancelled; returns the number of edits.
async fn edit_and_read(http: Http, students: String, stop: CancellationToken) -> usize {
    let mut edits = 0;
    while !stop.is_cancelled() {
        let name = format!("Edit {edits}");
        let written = http.post(&students, student(9, &name).to_string()).await;
        assert!(written.is_success(), "{written:?}");
        let read = http.get(&format!("{students}/{}", written.id.expect("an id"))).await;
        assert_eq!((read.status, read.etag), (200, written.etag), "{read:?}");
        assert_eq!(read.json()["firstName"], name.as_str(), "{read:?}");
        edits += 1;
    }
    edits
}
