//! Kills a process while it writes: afterwards the index opens and contains every delivery that was reported as done.

use crate::support::{key, live, open};
use futures::future::join_all;
use millstream_connectors::sink::embedded::{EmbeddedOptions, EmbeddedStore};
use millstream_pipeline::sink::generations::Generations;
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Outcome, Sink};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use uuid::Uuid;

/// Environment variable with the folder of the index, for the process to be killed.
const FOLDER_VARIABLE: &str = "MILLSTREAM_TEST_EMBEDDED_FOLDER";

/// Environment variable with the version that the process writes.
const VERSION_VARIABLE: &str = "MILLSTREAM_TEST_EMBEDDED_VERSION";

/// Number of processes to kill. Each one is killed after more puts than the previous one.
const KILLS: i64 = 5;

/// Documents per put.
const BATCH: u64 = 20;

fn upsert(number: u64, version: i64) -> Delivery {
    let uuid = Uuid::from_u128(u128::from(number));
    let body = format!(
        r#"{{"id":"{uuid}","_etag":"{version}","schoolId":{number},"addresses":[{{"city":"{number}"}},{{"city":"x"}}]}}"#
    );
    let key = DocumentKey { uuid, resource_key: key("schools") };
    Delivery { key, version, content: Content::Document(body.into()), repair: false }
}

/// The process to be killed, started by [`deliveries_reported_as_done_survive_kill_9`]. In a normal test run it does
/// nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else { return };
    let store =
        EmbeddedStore::open(&EmbeddedOptions::new(folder), Arc::clone(&crate::support::MODEL)).expect("it opens");
    let sink = live(&store).await;
    let version = std::env::var(VERSION_VARIABLE).ok().and_then(|text| text.parse().ok()).expect("a version");
    write_forever(&sink, version).await;
}

/// Puts two batches at a time; after each round, prints the number of documents that are done.
async fn write_forever(sink: &Arc<dyn Sink>, version: i64) {
    let mut stdout = std::io::stdout();
    for round in 0.. {
        let batches = [2 * round, 2 * round + 1]
            .map(|batch| (0..BATCH).map(|at| upsert(batch * BATCH + at, version)).collect::<Vec<_>>());
        let outcomes = join_all(batches.iter().map(|batch| sink.put(batch))).await;
        assert!(outcomes.iter().flatten().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
        writeln!(stdout, "\ndone {}", 2 * (round + 1) * BATCH).expect("the parent reads");
    }
}

#[tokio::test]
async fn deliveries_reported_as_done_survive_kill_9() {
    let folder = crate::support::folder();
    let index = folder.path().join("index");
    for kill in 1..=KILLS {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["crash::writer_that_is_killed", "--exact", "--nocapture"])
            .env(FOLDER_VARIABLE, &index)
            .env(VERSION_VARIABLE, kill.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let done = lines
            .map(|line| line.expect("a line"))
            .filter_map(|line| line.strip_prefix("done ").map(|count| count.parse::<u64>().expect("a number")))
            .nth(kill.unsigned_abs() as usize)
            .expect("it writes until it is killed");
        child.kill().expect("killed");
        child.wait().expect("it ended");
        let store = open(&folder);
        let sink = live(&store).await;
        let keys: Vec<DocumentKey> = (0..done).map(|number| upsert(number, 0).key).collect();
        let held = sink.fetch(&keys).await.expect("it can be read");
        for (number, body) in (0..done).zip(held) {
            let Content::Document(expected) = upsert(number, kill).content else { continue };
            assert_eq!(body, Some(expected), "kill {kill}: document {number}");
        }
        let listed = store.list().await.expect("listed");
        assert!(listed[0].documents >= done, "kill {kill}: {listed:?}");
    }
}
