//! The exact JSON of every reply. Scripts of operators and hosts read these members.

use super::{
    CascadeStatus, DatabaseStatus, EntriesReleased, EntriesSkipped, FindingExample, GenerationEntry, GenerationList,
    IndexAction, IndexBuildStarted, IndexDropped, IndexLive, LaneStatus, LastError, ProcessPhase, ProjectorStatus,
    ProofReport, QuarantineEntry, QuarantineReport, QueueStatus, RebuildEnqueued, RebuildStatus, Refusal,
    ReplayCancelled, ReplayStarted, ReplayState, ReplayStatus, Request, Response, ResyncStatus, RunningStatus, Section,
    SinkAdded, SinkComparison, SinkCopy, SinkPaused, SinkProof, SinkRemoved, SinkView, SourceStatus, StatusReport,
    Target, UnreadableRecord, VerifyExample, VerifyKind, VerifyReport, WaitDone, schema,
};
use millstream_projector::replay::{Selection, Spec};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

const ID: Uuid = Uuid::from_u128(7);
const ID_TEXT: &str = "00000000-0000-0000-0000-000000000007";

fn text(text: &str) -> String {
    text.to_owned()
}

/// Checks the JSON of a reply: member order included, read back to the same value, and valid in the schema.
fn check(request: &Request, response: impl Into<Response>, golden: &str) {
    let (response, golden) = (response.into(), golden.replace("ID", ID_TEXT));
    assert_json(&response, &golden);
    let decoded = Response::decode(request, golden.as_bytes()).expect("the golden JSON can be read");
    assert_eq!(decoded, response, "{golden}");
}

fn assert_json(value: &impl Serialize, golden: &str) {
    let compact: Value = serde_json::from_str(golden).expect("the golden JSON is JSON");
    assert_eq!(serde_json::to_string(value).expect("it can be written"), compact.to_string());
    let schema = schema();
    let errors: Vec<_> = jsonschema::validator_for(&schema)
        .expect("a schema")
        .iter_errors(&compact)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{golden}: {errors:?}");
}

fn spec() -> Spec {
    Spec { selection: Selection::All, per_s_max: None, repair: true, empty: false }
}

fn index(action: IndexAction) -> Request {
    Request::Index { sink: text("opensearch"), action }
}

#[test]
fn replies_about_sinks_and_replays() {
    let add = Request::SinkAdd { sink: text("kafka"), backfill: Some(None) };
    check(&add, SinkAdded { lane: text("kafka") }, r#"{"lane": "kafka"}"#);
    let remove = Request::SinkRemove { sink: text("kafka") };
    check(&remove, SinkRemoved { removed: vec![text("kafka")] }, r#"{"removed": ["kafka"]}"#);
    let pause = Request::SinkPause { sink: text("kafka"), paused: true };
    let paused = SinkPaused { lanes: vec![text("kafka")], paused: true };
    check(&pause, paused, r#"{"lanes": ["kafka"], "paused": true}"#);
    let replay = Request::Replay { target: Target::Cache, spec: spec() };
    let started = ReplayStarted { total: 3, targets: vec![text("cache")] };
    check(&replay, started, r#"{"total": 3, "targets": ["cache"]}"#);
    let cancel = Request::ReplayCancel { target: Target::Cache };
    check(&cancel, ReplayCancelled { cancelled: Vec::new() }, r#"{"cancelled": []}"#);
    let rebuild = Request::Rebuild { documents: vec![ID] };
    check(&rebuild, RebuildEnqueued { enqueued: 1 }, r#"{"enqueued": 1}"#);
    let wait = Request::Wait { version: 7, sink: None, timeout_ms: 1 };
    check(&wait, WaitDone { version: 7 }, r#"{"version": 7}"#);
}

#[test]
fn replies_about_generations() {
    let entry = GenerationEntry {
        generation: 2,
        live: true,
        kept_current: true,
        created_at_ms: 1_000,
        documents: 3,
        bytes: 4,
        schema_hash: text("abc"),
        mapping_current: false,
    };
    let golden = r#"{"generations": [{"generation": 2, "live": true, "kept_current": true, "created_at_ms": 1000,
        "documents": 3, "bytes": 4, "schema_hash": "abc", "mapping_current": false}]}"#;
    check(&index(IndexAction::List), GenerationList { generations: vec![entry] }, golden);
    let build = IndexBuildStarted { generation: 2, targets: vec![text("opensearch-g2")] };
    check(&index(IndexAction::Build { per_s: None }), build, r#"{"generation": 2, "targets": ["opensearch-g2"]}"#);
    let swap = index(IndexAction::Swap { generation: None, unchecked: false });
    check(&swap, IndexLive { live: 2 }, r#"{"live": 2}"#);
    check(&index(IndexAction::Rollback), IndexLive { live: 1 }, r#"{"live": 1}"#);
    check(&index(IndexAction::Drop { generation: 1 }), IndexDropped { dropped: 1 }, r#"{"dropped": 1}"#);
}

#[test]
fn replies_about_quarantine() {
    let list = Request::QuarantineList { place: None };
    let entry = QuarantineEntry {
        place: text("kafka"),
        id: ID,
        resource: Some(text("ed-fi/students")),
        version: 7,
        deleted: false,
        reason: text("too large"),
        attempts: 2,
        first_failed_at_ms: 1,
        last_failed_at_ms: 2,
        view: None,
    };
    let record = UnreadableRecord {
        place: text("cache"),
        record: text("millstream.work/0/7"),
        reason: text("its format is 9"),
        bytes: 3,
        content: None,
    };
    let row = r#"{"place": "kafka", "id": "ID", "resource": "ed-fi/students", "version": 7, "deleted": false,
        "reason": "too large", "attempts": 2, "first_failed_at_ms": 1, "last_failed_at_ms": 2"#;
    let golden = format!(
        r#"{{"quarantined": [{row}}}], "unreadable": [{{"place": "cache", "record": "millstream.work/0/7",
        "reason": "its format is 9", "bytes": 3}}]}}"#
    );
    let report = QuarantineReport { quarantined: vec![entry.clone()], unreadable: Some(vec![record.clone()]) };
    check(&list, report, &golden);

    let show = Request::QuarantineShow { document: ID, place: None };
    let view = |held| Some(SinkView { sink: text("topic t"), bytes: Some(2), sent: Some(text("{}")), held });
    let shown = |held| QuarantineEntry { view: view(held), ..entry.clone() };
    let entries = vec![shown(SinkCopy::Body(None)), shown(SinkCopy::Failed { error: text("away") })];
    let golden = format!(
        r#"{{"quarantined": [{row}, "sink": "topic t", "bytes": 2, "sent": "{{}}", "held": null}},
        {row}, "sink": "topic t", "bytes": 2, "sent": "{{}}", "held": {{"error": "away"}}}}]}}"#
    );
    check(&show, QuarantineReport { quarantined: entries, unreadable: None }, &golden);

    let show = Request::UnreadableShow { record: text("millstream.work/0/7"), place: None };
    let shown = UnreadableRecord { content: Some(text("\\x00")), ..record };
    let golden = r#"{"quarantined": [], "unreadable": [{"place": "cache", "record": "millstream.work/0/7",
        "reason": "its format is 9", "bytes": 3, "content": "\\x00"}]}"#;
    check(&show, QuarantineReport { quarantined: Vec::new(), unreadable: Some(vec![shown]) }, golden);

    let retry = Request::QuarantineRetry { documents: None, place: None };
    check(&retry, EntriesReleased { released: 1 }, r#"{"released": 1}"#);
    let skip = Request::QuarantineSkip { documents: vec![ID], place: None };
    check(&skip, EntriesSkipped { skipped: 1 }, r#"{"skipped": 1}"#);
    let skip = Request::UnreadableSkip { records: Vec::new(), place: None };
    check(&skip, EntriesSkipped { skipped: 2 }, r#"{"skipped": 2}"#);
}

fn comparison() -> SinkComparison {
    let example = FindingExample { id: ID, resource: Some(text("ed-fi/students")), expected: Some(7), found: None };
    SinkComparison {
        lane: text("kafka"),
        sink: text("topic t"),
        compared: 9,
        differences: 1,
        counts: [(text("missing"), 1)].into(),
        examples: [(text("missing"), vec![example])].into(),
        behind: 2,
        mended: 0,
        unmended: None,
        took_ms: 5,
        waiting: 3,
        mended_by: None,
        newer: Vec::new(),
        newer_version_max: None,
    }
}

const COMPARISON: &str = r#""lane": "kafka", "sink": "topic t", "compared": 9, "differences": 1,
    "counts": {"missing": 1}, "examples": {"missing": [{"id": "ID", "resource": "ed-fi/students", "expected": 7,
    "found": null}]}, "behind": 2"#;

#[test]
fn replies_about_comparisons() {
    let prove = Request::Prove { sink: None, repair: false, only: None };
    let repaired = SinkComparison { mended: 1, unmended: Some(0), mended_by: Some(text("start it")), ..comparison() };
    let sinks = vec![
        SinkProof::Compared(Box::new(comparison())),
        SinkProof::Compared(Box::new(repaired)),
        SinkProof::NotCompared { lane: text("opensearch-g1"), not_compared: text("another process") },
        SinkProof::Failed { lane: text("embedded-g1"), error: text("away") },
    ];
    let golden = format!(
        r#"{{"sinks": [{{{COMPARISON}, "mended": 0, "unmended": null, "took_ms": 5, "waiting": 3}},
        {{{COMPARISON}, "mended": 1, "unmended": 0, "took_ms": 5, "waiting": 3, "mended_by": "start it"}},
        {{"lane": "opensearch-g1", "not_compared": "another process"}},
        {{"lane": "embedded-g1", "error": "away"}}]}}"#
    );
    check(&prove, ProofReport { sinks: sinks.clone() }, &golden);
    check(&index(IndexAction::Compare { generation: None }), ProofReport { sinks }, &golden);
}

#[test]
fn the_report_of_verify() {
    let example = VerifyExample { id: text("7"), resource: text("students"), expected: text("a"), found: text("b") };
    let report = VerifyReport {
        documents: 9,
        rows: 20,
        took_ms: 5,
        kinds: vec![VerifyKind { kind: text("body differs"), count: 1, examples: vec![example] }],
        behind_examples: Vec::new(),
        differences: 2,
        behind: 2,
        sinks: vec![SinkProof::Compared(Box::new(comparison()))],
        concerned: vec![text("7")],
        concerned_more: 0,
        repair: None,
    };
    let golden = format!(
        r#"{{"documents": 9, "rows": 20, "took_ms": 5, "kinds": [{{"kind": "body differs", "count": 1, "examples":
        [{{"id": "7", "resource": "students", "expected": "a", "found": "b"}}]}}], "behind_examples": [],
        "differences": 2, "behind": 2,
        "sinks": [{{{COMPARISON}, "mended": 0, "unmended": null, "took_ms": 5, "waiting": 3}}], "concerned": ["7"], "concerned_more": 0, "repair": null}}"#
    );
    assert_json(&report, &golden.replace("ID", ID_TEXT));
}

fn projector() -> ProjectorStatus {
    ProjectorStatus {
        source: SourceStatus { connected: true, lag_unit: text("bytes"), eta_ms: Some(1), ..SourceStatus::default() },
        queue: QueueStatus { depth: 2, ..QueueStatus::default() },
        rebuild: RebuildStatus { stored: 3, ..RebuildStatus::default() },
        cascade: CascadeStatus { open: 4, ..CascadeStatus::default() },
        resync: ResyncStatus { running: true, ..ResyncStatus::default() },
        last_error: Some(LastError { at_ms: 5, text: text("a page failed") }),
        fatal: None,
    }
}

const PROJECTOR: &str = r#"{
    "source": {"connected": true, "reconnects": 0, "failures": 0, "server_position": "", "delivered": "", "durable": "",
        "confirmed": "", "lag": 0, "lag_unit": "bytes", "behind_ms": 0, "eta_ms": 1, "changes": 0, "changes_per_s": 0,
        "last_error": null},
    "queue": {"depth": 2, "touches": 0, "in_flight": 0, "delayed": 0, "quarantined": 0, "unreadable": 0,
        "oldest_age_ms": 0, "disk_bytes": 0, "eta_ms": null},
    "rebuild": {"stored": 3, "stored_per_s": 0, "version": 0, "workers": 0, "repaired": 0, "superseded": 0, "gone": 0,
        "awaits_stamp": 0, "held": 0, "contradicted": 0, "holds": 0, "alarms": 0, "failures": 0, "quarantines": 0},
    "cascade": {"open": 4, "oldest_age_ms": 0, "pages": 0, "stamped": 0, "stamped_per_s": 0, "workers": 0,
        "finished": 0, "failures": 0},
    "resync": {"running": true, "compared": 0, "enqueued": 0},
    "last_error": {"at_ms": 5, "text": "a page failed"},
    "fatal": null}"#;

const REPLAY: &str = r#"{"state": "running", "done": 1, "total": 2, "started_at_ms": 3, "ended_at_ms": null,
    "last_error": null}"#;

const LANE: &str = r#"{"name": "kafka", "sink": "topic t", "depth": 1, "in_flight": 0, "delayed": 0, "quarantined": 0,
    "unreadable": 0, "oldest_age_ms": 0, "delivered": 0, "delivered_per_s": 0, "version": 0, "superseded": 0,
    "retried": 0, "rejected": 0, "concurrency": 0, "requests": 0, "eta_ms": null, "last_error": null, "fatal": null,
    "paused": true"#;

fn running() -> RunningStatus {
    let replay = ReplayStatus {
        state: ReplayState::Running,
        done: 1,
        total: 2,
        started_at_ms: 3,
        ended_at_ms: None,
        last_error: None,
    };
    let lane = LaneStatus {
        name: text("kafka"),
        sink: text("topic t"),
        depth: 1,
        paused: true,
        replay: Some(replay.clone()),
        ..LaneStatus::default()
    };
    RunningStatus {
        role: text("up"),
        address: text("http://127.0.0.1:1"),
        url: text("http://127.0.0.1:1"),
        effective_schema_hash: text("abc"),
        uptime_ms: 6,
        database: DatabaseStatus { address: text("u@h:1/d"), newest_version: Some(7), ..DatabaseStatus::default() },
        projector: Some(Section::Read(projector())),
        lanes: Section::Read(vec![lane]),
        replay: Some(replay),
    }
}

fn status(running: Option<RunningStatus>) -> Box<StatusReport> {
    let state = if running.is_some() { ProcessPhase::Running } else { ProcessPhase::StartingOrStopping };
    Box::new(StatusReport { pid: 7, version: text("1.2.3"), state, running })
}

const HEAD: &str = r#"{"pid": 7, "version": "1.2.3", "state": "running", "role": "up", "address": "http://127.0.0.1:1",
    "url": "http://127.0.0.1:1", "effective_schema_hash": "abc", "uptime_ms": 6,
    "database": {"address": "u@h:1/d", "managed": false, "connections": 0, "connections_max": 0,
        "connections_idle": 0, "waiting": 0, "newest_version": 7, "wal_position": null}"#;

#[test]
fn the_status() {
    let starting = r#"{"pid": 7, "version": "1.2.3", "state": "starting or stopping"}"#;
    check(&Request::Status, status(None), starting);
    let golden =
        format!(r#"{HEAD}, "projector": {PROJECTOR}, "lanes": [{LANE}, "replay": {REPLAY}}}], "replay": {REPLAY}}}"#);
    check(&Request::Status, status(Some(running())), &golden);

    let without_projector = RunningStatus { projector: None, replay: None, ..running() };
    let golden = format!(r#"{HEAD}, "projector": null, "lanes": [{LANE}, "replay": {REPLAY}}}], "replay": null}}"#);
    check(&Request::Status, status(Some(without_projector)), &golden);

    let unread = RunningStatus {
        projector: Some(Section::Failed { error: text("a") }),
        lanes: Section::Failed { error: text("b") },
        ..running()
    };
    let golden = format!(r#"{HEAD}, "projector": {{"error": "a"}}, "lanes": {{"error": "b"}}, "replay": {REPLAY}}}"#);
    check(&Request::Status, status(Some(unread)), &golden);
}

#[test]
fn a_refusal() {
    let refused = Refusal { message: text("no"), exit: 2 };
    assert_json(&json!({"refused": refused}), r#"{"refused": {"message": "no", "exit": 2}}"#);
}

#[test]
fn a_running_status_that_lacks_a_member_names_it() {
    let error = Response::decode(&Request::Status, br#"{"pid": 7, "version": "1", "state": "running"}"#);
    let error = error.expect_err("its components are missing").to_string();
    assert!(error.contains("missing field `role`"), "{error}");
}
