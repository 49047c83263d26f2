//! Metrics: the descriptions, the constants in the code and the table in `docs/reference/metrics.md` agree.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, with_local_recorder};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

/// Crates that are part of the binary.
const CRATES: [&str; 10] =
    ["schema", "search", "pipeline", "store", "outbox", "writer", "projector", "connectors", "api", "cli"];

/// Recorder that collects descriptions and ignores values.
#[derive(Default)]
struct Descriptions(Mutex<BTreeMap<String, String>>);

impl Descriptions {
    fn add(&self, kind: &str, name: &KeyName, unit: Option<Unit>, meaning: &str) {
        let unit = match unit {
            Some(Unit::Count) => "count",
            Some(Unit::CountPerSecond) => "1/s",
            Some(Unit::Bytes) => "bytes",
            Some(Unit::Milliseconds) => "ms",
            Some(Unit::Seconds) => "s",
            Some(other) => panic!("{} has the unit {other:?}: add its name here", name.as_str()),
            None => "0 or 1",
        };
        let row = format!("| `{}` | {kind} | {unit} | {meaning} |", name.as_str());
        self.0.lock().expect("not poisoned").insert(name.as_str().to_owned(), row);
    }
}

impl Recorder for Descriptions {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, meaning: SharedString) {
        self.add("counter", &name, unit, &meaning);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, meaning: SharedString) {
        self.add("gauge", &name, unit, &meaning);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, meaning: SharedString) {
        self.add("histogram", &name, unit, &meaning);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Returns the table row of each metric that the binary describes, by name.
fn described() -> BTreeMap<String, String> {
    let descriptions = Descriptions::default();
    with_local_recorder(&descriptions, millstream_cli::telemetry::describe_metrics);
    descriptions.0.into_inner().expect("not poisoned")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Returns every metric name that a table of a crate declares.
fn named_in_code() -> BTreeSet<String> {
    let mut files = Vec::new();
    for part in CRATES {
        sources(&root().join(part).join("src"), &mut files);
    }
    let texts = files.iter().map(|file| fs::read_to_string(file).expect("a source file"));
    let declaring = texts.filter(|text| text.contains("metric_table!") || text.contains("metrics::"));
    let name = |line: &str| {
        let (_, value) = line.split_once(": &str = \"millstream_")?;
        Some(format!("millstream_{}", value.split_once('"')?.0))
    };
    declaring.flat_map(|text| text.lines().filter_map(name).collect::<Vec<_>>()).collect()
}

#[test]
fn every_metric_that_the_code_names_is_described() {
    let described: BTreeSet<String> = described().into_keys().collect();
    assert_eq!(
        named_in_code(),
        described,
        "telemetry::recorder::describe must describe exactly the metrics that the code names"
    );
}

#[test]
fn the_table_in_docs_is_that_of_the_code() {
    let page = fs::read_to_string(root().join("docs/reference/metrics.md")).expect("the page can be read");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `millstream_")).collect();
    let expected: Vec<String> = described().into_values().collect();
    let table = expected.iter().fold(String::new(), |mut table, row| {
        writeln!(table, "{row}").expect("a text");
        table
    });
    assert_eq!(rows, expected, "the table in docs/reference/metrics.md must be:\n{table}");
}
