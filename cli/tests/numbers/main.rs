//! Every number and every yes or no of `millstream status --json` is a metric of the same value, and the text for people
//! says the eight things that an operator asks of each stage and lane.

mod leaves;
mod scraped;
#[path = "../support/mod.rs"]
mod support;
mod table;

use leaves::Leaf;
use millstream_testkit::{TestDatabase, World, wait_for, wait_until};
use scraped::Scraped;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use support::child::{Setup, Up, run};
use table::{Shape, TABLE, TROUBLE};

/// How long the line may take to come to rest, and numbers to agree.
const PATIENCE: Duration = Duration::from_secs(90);

/// Nobody listens there: a sink that is configured and away.
const AWAY: &str = "--kafka-bootstrap-servers=127.0.0.1:1";

/// A sink that is away is not waited for at the end.
const STOP_SOON: &str = "--shutdown-deadline-ms=2000";

async fn command(setup: &Setup, arguments: &[&str]) -> String {
    let (code, text) = run(setup, arguments).await;
    assert_eq!(code, Some(0), "{arguments:?}: {text}\n{}", setup.log_tail());
    text
}

async fn status(setup: &Setup) -> Value {
    let text = command(setup, &["status", "--json", "--log-level=error"]).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("no JSON ({error}): {text}"))
}

/// What a leaf says and the metrics do not; the rows of the table that were met are added to `met`.
fn disagreements(status: &Value, scraped: &Scraped, met: &mut BTreeSet<&'static str>) -> Vec<String> {
    let mut all = Vec::new();
    for leaf in leaves::of(status) {
        let Some((pattern, shape)) = TABLE.iter().find(|(pattern, _)| *pattern == leaf.pattern) else {
            // Texts, and what is not there, are no numbers.
            if leaf.value.is_number() || leaf.value.is_boolean() {
                all.push(format!("{} has no row in the table", leaf.pattern));
            }
            continue;
        };
        met.insert(pattern);
        all.extend(disagreement(&leaf, shape, scraped));
    }
    all
}

fn disagreement(leaf: &Leaf, shape: &Shape, scraped: &Scraped) -> Option<String> {
    let expected = shape.expected(&leaf.value)?;
    let found = scraped.value(shape.metric(), &shape.labels(leaf));
    let same = found.is_some_and(|found| found == expected || (found - expected).abs() <= shape.tolerance());
    (!same).then(|| format!("{} is {}, but {} is {found:?}", leaf.path, leaf.value, shape.metric()))
}

/// Waits until all of them agree at one moment.
async fn agree(setup: &Setup, up: &Up, met: &mut BTreeSet<&'static str>) {
    let mut last = Vec::new();
    for _ in 0..PATIENCE.as_secs() {
        let status = status(setup).await;
        last = disagreements(&status, &Scraped::read(&up.http.metrics().await), met);
        if last.is_empty() {
            return;
        }
    }
    panic!("numbers of the status that are no metrics:\n{}", last.join("\n"));
}

/// A lane that is paused, one whose sink is away, one that cannot be opened, a replay that runs: all their numbers.
#[tokio::test(flavor = "multi_thread")]
async fn every_number_of_the_status_is_a_metric() {
    let world = World::fixtures();
    let (database, folder) = (TestDatabase::create().await, tempfile::tempdir().expect("a folder"));
    let file = world.corpus.schema_paths().into_iter().next().expect("a schema file");
    let schema_dir = file.parent().expect("a folder").to_owned();
    let documents = schema_dir.join("documents.jsonl").display().to_string();
    let mut setup = Setup {
        schema_dir,
        data_dir: folder.path().join("data"),
        database: database.options().clone(),
        listen: "127.0.0.1:0".to_owned(),
        flags: vec!["--sinks=embedded,kafka".to_owned(), AWAY.to_owned(), STOP_SOON.to_owned()],
    };
    let mut met = BTreeSet::new();
    let up = Up::start(&setup).await;
    wait_until("both lanes", PATIENCE, || async { status(&setup).await["lanes"].as_array().map(Vec::len) == Some(2) })
        .await;
    command(&setup, &["sink", "pause", "embedded"]).await;
    let url = format!("http://{}", up.http.address());
    command(&setup, &["load", "--url", &url, "--progress=none", &documents]).await;
    command(&setup, &["replay", "--to", "kafka", "--per-s", "1", "--detach"]).await;
    command(&setup, &["replay", "--to", "cache", "--detach"]).await;
    wait_until("trouble with the sink that is away", PATIENCE, || async {
        status(&setup).await["lanes"]
            .as_array()
            .is_some_and(|lanes| lanes.iter().any(|lane| lane["last_error"].is_object()))
    })
    .await;
    agree(&setup, &up, &mut met).await;
    let untold = untold(&command(&setup, &["status"]).await);
    assert!(untold.is_empty(), "{}", untold.join("\n"));
    up.stop().await;

    // Without its configuration the sink cannot be opened any more; its lane stays.
    setup.flags = vec!["--sinks=embedded".to_owned(), STOP_SOON.to_owned()];
    let up = Up::start(&setup).await;
    let closed = wait_for("the lane that cannot be opened", PATIENCE, || async {
        let status = status(&setup).await;
        status["lanes"].as_array()?.iter().find(|lane| lane["fatal"].is_string()).cloned()
    });
    assert_ne!(closed.await["depth"], 0, "what was owed waits");
    agree(&setup, &up, &mut met).await;
    up.stop().await;

    met.insert(TROUBLE);
    let unmet: Vec<_> = TABLE.iter().map(|(pattern, _)| *pattern).filter(|pattern| !met.contains(pattern)).collect();
    assert!(unmet.is_empty(), "no status has these: {unmet:?}");
}

/// What the status for people does not say of a stage or a lane.
fn untold(text: &str) -> Vec<String> {
    let asked = [
        ("source", &["bytes behind", "confirmed", "ms behind", "/s", "ms left", "failures"][..]),
        ("queue", &["waiting", "oldest", "in quarantine", "ms left"][..]),
        ("rebuild", &["up to version", "/s", "in work by", "workers", "failures"][..]),
        ("cascades", &["open", "oldest", "/s", "workers", "failures"][..]),
        ("embedded-g1", LANE),
        ("kafka", LANE),
    ];
    let missing = asked.into_iter().flat_map(|(row, words)| {
        let line = text.lines().find(|line| line.starts_with(row)).unwrap_or_default();
        let missing = words.iter().filter(move |word| !line.contains(**word));
        missing.map(move |word| format!("{row} does not say {word:?}: {line}")).collect::<Vec<_>>()
    });
    let trouble = (!text.contains("the last trouble: ")).then(|| format!("no last error is told: {text}"));
    missing.chain(trouble).collect()
}

const LANE: &[&str] =
    &["waiting", "oldest", "/s", "ms left", "in quarantine", "requests", "up to version", "retried", "rejected"];
