//! Every number and boolean of `millstream status --json` is a metric with the same value, and the text of
//! `millstream status` contains the values that an operator needs for each stage and lane.

mod status_values;
#[path = "../support/mod.rs"]
mod support;
mod table;

use millstream_testkit::{TestDatabase, World, wait_for, wait_until};
use serde_json::Value;
use status_values::StatusValue;
use std::collections::BTreeSet;
use std::time::Duration;
use support::process::{Process, Setup, run};
use table::{LAST_ERROR_AT, MetricForm, TABLE};

/// Limit for the pipeline to become idle and for status and metrics to agree.
const TIMEOUT: Duration = Duration::from_secs(90);

/// No broker listens on this port: the sink is configured and unavailable.
const UNREACHABLE_KAFKA: &str = "--kafka-bootstrap-servers=127.0.0.1:1";

/// Keeps the shutdown from waiting for the unavailable sink.
const STOP_SOON: &str = "--shutdown-deadline-ms=2000";

async fn command(setup: &Setup, arguments: &[&str]) -> String {
    let (code, text) = run(setup, arguments).await;
    assert_eq!(code, Some(0), "{arguments:?}: {text}\n{}", setup.log_tail());
    text
}

async fn status(setup: &Setup) -> Value {
    let text = command(setup, &["status", "--json", "--log-level=error"]).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("the status is not JSON ({error}): {text}"))
}

/// The series of one `/metrics` response with their values.
struct Metrics(Vec<(String, f64)>);

impl Metrics {
    /// Parses the text format: one series and value per line.
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let series = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
            (series.to_owned(), value.parse().unwrap_or_else(|error| panic!("{error}: {line}")))
        });
        Self(series.collect())
    }

    /// Returns the sum of the series with this name and these labels, or `None` if none matches.
    fn value(&self, name: &str, labels: &[String]) -> Option<f64> {
        let matching = self.0.iter().filter(|(series, _)| {
            let rest = series.strip_prefix(name);
            rest.is_some_and(|rest| {
                (rest.is_empty() || rest.starts_with('{')) && labels.iter().all(|label| rest.contains(label))
            })
        });
        matching.map(|(_, value)| *value).reduce(|sum, value| sum + value)
    }
}

/// Returns the differences between status and metrics, and adds the table rows that occurred to `met`.
fn disagreements(status: &Value, metrics: &Metrics, met: &mut BTreeSet<&'static str>) -> Vec<String> {
    let mut all = Vec::new();
    for entry in status_values::all(status) {
        let Some((pattern, form)) = TABLE.iter().find(|(pattern, _)| *pattern == entry.pattern) else {
            // Strings and null need no metric.
            if entry.value.is_number() || entry.value.is_boolean() {
                all.push(format!("{} has no row in the table", entry.pattern));
            }
            continue;
        };
        met.insert(pattern);
        all.extend(disagreement(&entry, form, metrics));
    }
    all
}

fn disagreement(entry: &StatusValue, form: &MetricForm, metrics: &Metrics) -> Option<String> {
    let expected = form.expected(&entry.value)?;
    let found = metrics.value(form.metric(), &form.labels(entry));
    let same = found.is_some_and(|found| found == expected || (found - expected).abs() <= form.tolerance());
    (!same).then(|| format!("{} is {}, but {} is {found:?}", entry.path, entry.value, form.metric()))
}

/// Waits until all values agree at one moment.
async fn agree(setup: &Setup, up: &Process, met: &mut BTreeSet<&'static str>) {
    let mut last = Vec::new();
    for _ in 0..TIMEOUT.as_secs() {
        let status = status(setup).await;
        last = disagreements(&status, &Metrics::parse(&up.http.metrics().await), met);
        if last.is_empty() {
            return;
        }
    }
    panic!("numbers of the status that differ from their metrics:\n{}", last.join("\n"));
}

/// Covers a paused lane, a lane with an unavailable sink, a lane that cannot be opened, and a running replay.
#[tokio::test(flavor = "multi_thread")]
async fn every_number_of_the_status_is_a_metric() {
    let world = World::fixtures();
    let (database, folder) = (TestDatabase::create().await, tempfile::tempdir().expect("a folder"));
    let schema_dir = world.corpus.schema_dir();
    let documents = schema_dir.join("documents.jsonl").display().to_string();
    let mut setup = Setup {
        schema_dir,
        data_dir: folder.path().join("data"),
        database: database.options().clone(),
        listen: "127.0.0.1:0".to_owned(),
        flags: vec!["--sinks=embedded,kafka".to_owned(), UNREACHABLE_KAFKA.to_owned(), STOP_SOON.to_owned()],
    };
    let mut met = BTreeSet::new();
    let up = Process::start(&setup).await;
    wait_until("both lanes", TIMEOUT, || async { status(&setup).await["lanes"].as_array().map(Vec::len) == Some(2) })
        .await;
    command(&setup, &["sink", "pause", "embedded"]).await;
    let url = format!("http://{}", up.http.address());
    command(&setup, &["load", "--url", &url, "--progress=none", &documents]).await;
    command(&setup, &["replay", "--to", "kafka", "--per-s", "1", "--detach"]).await;
    command(&setup, &["replay", "--to", "cache", "--detach"]).await;
    wait_until("an error of the unavailable sink", TIMEOUT, || async {
        status(&setup).await["lanes"]
            .as_array()
            .is_some_and(|lanes| lanes.iter().any(|lane| lane["last_error"].is_object()))
    })
    .await;
    agree(&setup, &up, &mut met).await;
    let missing = missing_in_text(&command(&setup, &["status"]).await);
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    up.stop().await;

    // Without its configuration the sink cannot be opened; its lane remains.
    setup.flags = vec!["--sinks=embedded".to_owned(), STOP_SOON.to_owned()];
    let up = Process::start(&setup).await;
    let closed = wait_for("the lane that cannot be opened", TIMEOUT, || async {
        let status = status(&setup).await;
        status["lanes"].as_array()?.iter().find(|lane| lane["fatal"].is_string()).cloned()
    });
    assert_ne!(closed.await["depth"], 0, "pending entries stay in the lane");
    agree(&setup, &up, &mut met).await;
    up.stop().await;

    met.insert(LAST_ERROR_AT);
    let unmet: Vec<_> = TABLE.iter().map(|(pattern, _)| *pattern).filter(|pattern| !met.contains(pattern)).collect();
    assert!(unmet.is_empty(), "no status contains {unmet:?}");
}

/// Returns the values of stages and lanes that the text status does not contain.
fn missing_in_text(text: &str) -> Vec<String> {
    let expected = [
        ("source", &["bytes behind", "confirmed", "ms behind", "/s", "ms left", "failures"][..]),
        ("queue", &["waiting", "oldest", "in quarantine", "ms left"][..]),
        ("rebuild", &["up to version", "/s", "in work by", "workers", "failures"][..]),
        ("cascades", &["open", "oldest", "/s", "workers", "failures"][..]),
        ("embedded-g1", LANE),
        ("kafka", LANE),
    ];
    let missing = expected.into_iter().flat_map(|(row, words)| {
        let line = text.lines().find(|line| line.starts_with(row)).unwrap_or_default();
        let missing = words.iter().filter(move |word| !line.contains(**word));
        missing.map(move |word| format!("{row} does not contain {word:?}: {line}")).collect::<Vec<_>>()
    });
    let error = (!text.contains("the last trouble: ")).then(|| format!("the last error is missing: {text}"));
    missing.chain(error).collect()
}

const LANE: &[&str] =
    &["waiting", "oldest", "/s", "ms left", "in quarantine", "requests", "up to version", "retried", "rejected"];
