//! `load` against a scripted HTTP server: every line is accounted for, in any order of responses.

use axum::{
    Router,
    body::Bytes,
    extract::{Path as UrlPath, State},
    http::StatusCode,
    routing::post,
};
use flate2::{Compression, write::GzEncoder};
use millstream_cli::{
    args::ProgressStyle,
    load::{Input, LoadPlan, Loaded, Progress, RetryLimit, load},
};
use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// State of the scripted server.
#[derive(Default)]
struct Server {
    /// Values of `n` that were accepted.
    accepted: Mutex<BTreeSet<i64>>,
    /// Values of `n` that have arrived.
    arrived: Mutex<BTreeSet<i64>>,
    /// Number of requests.
    requests: Mutex<u64>,
    /// Notified at each request.
    request: Notify,
    /// Responses to the first requests.
    failures: Mutex<VecDeque<Failure>>,
}

/// A passing failure: status and `Retry-After`.
type Failure = (StatusCode, Option<u64>);
type Response = (StatusCode, [(&'static str, String); 1], String);

fn response(status: StatusCode, body: String) -> Response {
    (status, [("x-test", String::new())], body)
}

fn problem(status: StatusCode, kind: &str, detail: &str) -> Response {
    let document = serde_json::json!({
        "type": format!("urn:ed-fi:api:{kind}"), "detail": detail, "errors": [], "correlationId": "c-1"
    });
    response(status, document.to_string())
}

/// Handles a POST. The body selects the response: {"n": 1}, {"n": 2, "needs": 1}, {"n": 3, "bad": true}, {"n": 4, "defect":
/// true}. A {"late": true} is decided when it arrives, and answered when a request with a larger number has arrived.
async fn handle(
    State(server): State<Arc<Server>>,
    UrlPath((_, _)): UrlPath<(String, String)>,
    body: Bytes,
) -> Response {
    *server.requests.lock().expect("not poisoned") += 1;
    if let Some((status, retry_after)) = server.failures.lock().expect("not poisoned").pop_front() {
        let (_, _, body) = problem(status, "service-unavailable", "starting");
        let header = retry_after.map_or(("x-test", String::new()), |seconds| ("retry-after", seconds.to_string()));
        return (status, [header], body);
    }
    let body: serde_json::Value = serde_json::from_slice(&body).expect("load posts JSON");
    let n = body["n"].as_i64().expect("each body has a number");
    if body["bad"] == true {
        return problem(StatusCode::BAD_REQUEST, "bad-request:data-validation-failed", "n is bad");
    }
    if body["defect"] == true {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "system", "an unexpected problem");
    }
    server.arrived.lock().expect("not poisoned").insert(n);
    server.request.notify_waiters();
    let is_missing = |needed| !server.accepted.lock().expect("not poisoned").contains(&needed);
    if body["needs"].as_i64().is_some_and(is_missing) {
        while body["late"] == true && server.arrived.lock().expect("not poisoned").last() == Some(&n) {
            server.request.notified().await;
        }
        return problem(StatusCode::CONFLICT, "data-conflict:unresolved-reference", "the target does not exist");
    }
    // A slow document that others need, so that they overtake it.
    while body["slow"] == true && *server.requests.lock().expect("not poisoned") < 8 {
        server.request.notified().await;
    }
    let is_new = server.accepted.lock().expect("not poisoned").insert(n);
    response(if is_new { StatusCode::CREATED } else { StatusCode::OK }, String::new())
}

struct RunningServer {
    server: Arc<Server>,
    url: reqwest::Url,
    task: JoinHandle<()>,
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(server: Server) -> RunningServer {
    // `load` creates an HTTP client, which needs the TLS provider that the program installs at its start.
    drop(millstream_testkit::http_client());
    let server = Arc::new(server);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url =
        format!("http://{}/", listener.local_addr().expect("the listener is bound")).parse().expect("a valid URL");
    let router = Router::new().route("/data/{project}/{resource}", post(handle)).with_state(Arc::clone(&server));
    let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("the server runs") });
    RunningServer { server, url, task }
}

fn lines(bodies: impl IntoIterator<Item = String>) -> String {
    bodies
        .into_iter()
        .map(|body| format!("{{\"resource\":\"things\",\"project\":\"ed-fi\",\"body\":{body}}}\n"))
        .collect()
}

/// A temporary folder for input files.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Input {
        fs::write(self.path(name), bytes).expect("the file can be written");
        Input::File(self.path(name))
    }
}

async fn run(running: &RunningServer, inputs: Vec<Input>, refused: Option<PathBuf>, retry_limit: Duration) -> Loaded {
    run_with(8, running, inputs, refused, retry_limit).await
}

async fn run_with(
    connections: usize,
    running: &RunningServer,
    inputs: Vec<Input>,
    refused: Option<PathBuf>,
    retry_limit: Duration,
) -> Loaded {
    let progress = Progress::new(ProgressStyle::None, &inputs);
    let plan = LoadPlan {
        inputs,
        url: running.url.clone(),
        connections,
        retry_limit: RetryLimit(retry_limit),
        refused,
        lines_max: None,
    };
    load(plan, &progress, CancellationToken::new()).await.expect("the load can start")
}

const TIMEOUT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_line_that_overtook_what_it_refers_to_is_not_refused() {
    let running = serve(Server::default()).await;
    let files = Files::new();
    let mut bodies = vec![r#"{"n":0,"slow":true}"#.to_owned()];
    bodies.extend((1..40).map(|n| format!("{{\"n\":{n},\"needs\":{}}}", n - 1)));
    let loaded = run(&running, vec![files.write("a.jsonl", lines(bodies).as_bytes())], None, TIMEOUT).await;
    assert_eq!((loaded.account.created, loaded.account.refused()), (40, 0), "{}", loaded.account);
    assert!(loaded.account.postponed > 0, "the script makes lines overtake each other");
    assert!(loaded.is_complete());
}

#[tokio::test]
async fn refusals_are_counted_by_kind_and_can_be_loaded_again() {
    let running = serve(Server::default()).await;
    let files = Files::new();
    let mut text = lines((0..10).map(|n| format!("{{\"n\":{n},\"bad\":{}}}", n % 5 == 0)));
    text.push_str("this is not JSON\n\n");
    text.push_str(&lines([r#"{"n":77,"needs":99}"#.to_owned()]));
    let refused = files.path("refused.jsonl");
    let loaded = run(&running, vec![files.write("a.jsonl", text.as_bytes())], Some(refused.clone()), TIMEOUT).await;
    let account = &loaded.account;
    assert_eq!((account.created, account.refused(), account.answered()), (8, 4, 12), "{account}");
    let count =
        |status, kind: &str| account.refusals.get(&(status, kind.to_owned())).map_or(0, |refusal| refusal.count);
    assert_eq!(count(400, "bad-request:data-validation-failed"), 2, "{account}");
    assert_eq!(count(409, "data-conflict:unresolved-reference"), 1, "{account}");
    assert_eq!(count(0, ""), 1, "{account}");
    assert!(account.to_string().contains("a.jsonl:13 things: the target does not exist"), "{account}");
    assert!(!loaded.is_complete());
    let kept = fs::read_to_string(&refused).expect("the refused lines were written");
    assert!(kept.contains(r#""text":"this is not JSON""#), "{kept}");

    running.server.accepted.lock().expect("not poisoned").insert(99);
    let again = run(&running, vec![Input::File(refused)], None, TIMEOUT).await;
    assert_eq!((again.account.created, again.account.refused()), (1, 3), "{}", again.account);
}

#[tokio::test]
async fn gzip_is_known_by_its_content_and_a_second_load_creates_nothing() {
    let running = serve(Server::default()).await;
    let files = Files::new();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(lines((0..500).map(|n| format!("{{\"n\":{n}}}"))).as_bytes()).expect("the bytes fit in memory");
    let input = files.write("no-telling-name", &packed.finish().expect("the file is compressed"));
    let first = run(&running, vec![input.clone()], None, TIMEOUT).await;
    assert_eq!((first.account.created, first.account.existing), (500, 0), "{}", first.account);
    let second = run(&running, vec![input], None, TIMEOUT).await;
    assert_eq!((second.account.created, second.account.existing), (0, 500), "{}", second.account);
}

fn numbered(count: i64) -> String {
    lines((0..count).map(|n| format!("{{\"n\":{n}}}")))
}

#[tokio::test]
async fn passing_failures_are_waited_for_and_refuse_nothing() {
    let statuses = [503, 500, 500, 500, 500, 500, 500, 429, 408, 502, 504, 507];
    let failures = statuses.map(|status| (StatusCode::from_u16(status).expect("a status"), None));
    let failures = failures.into_iter().cycle().take(60).collect();
    let running = serve(Server { failures: Mutex::new(failures), ..Server::default() }).await;
    let files = Files::new();
    let loaded = run(&running, vec![files.write("a.jsonl", numbered(30).as_bytes())], None, TIMEOUT).await;
    let account = &loaded.account;
    assert_eq!((account.created, account.refused()), (30, 0), "{account}");
    assert_eq!(account.repeated.values().sum::<u64>(), 60, "{account}");
    assert!(account.to_string().contains("waited for: 500 service-unavailable, 30 attempts"), "{account}");
    assert!(loaded.is_complete());
}

#[tokio::test]
async fn a_pause_that_the_server_asks_for_is_kept() {
    let failures = VecDeque::from([(StatusCode::SERVICE_UNAVAILABLE, Some(1))]);
    let running = serve(Server { failures: Mutex::new(failures), ..Server::default() }).await;
    let files = Files::new();
    let loaded = run(&running, vec![files.write("a.jsonl", numbered(1).as_bytes())], None, TIMEOUT).await;
    assert_eq!((loaded.account.created, loaded.account.refused()), (1, 0), "{}", loaded.account);
    assert!(loaded.account.elapsed() >= Duration::from_secs(1), "{:?}", loaded.account.elapsed());
}

#[tokio::test]
async fn connections_that_break_are_waited_for() {
    drop(millstream_testkit::http_client());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("the listener is bound")).parse().expect("a valid URL");
    let server = Arc::new(Server::default());
    let router = Router::new().route("/data/{project}/{resource}", post(handle)).with_state(Arc::clone(&server));
    let task = tokio::spawn(async move {
        for _ in 0..5 {
            drop(listener.accept().await.expect("a connection"));
        }
        axum::serve(listener, router).await.expect("the server runs");
    });
    let running = RunningServer { server, url, task };
    let files = Files::new();
    let loaded = run(&running, vec![files.write("a.jsonl", numbered(30).as_bytes())], None, TIMEOUT).await;
    assert_eq!((loaded.account.created, loaded.account.refused()), (30, 0), "{}", loaded.account);
    assert!(loaded.account.to_string().contains("waited for: no response"), "{}", loaded.account);
}

#[tokio::test]
async fn a_line_that_fails_while_others_are_accepted_is_refused_with_its_answer() {
    let running = serve(Server::default()).await;
    let files = Files::new();
    let text = lines((0..30).map(|n| format!("{{\"n\":{n},\"defect\":{}}}", n == 5)));
    let input = files.write("a.jsonl", text.as_bytes());
    let loaded = run(&running, vec![input], None, Duration::from_millis(300)).await;
    assert_eq!((loaded.account.created, loaded.account.refused()), (29, 1), "{}", loaded.account);
    let shown = loaded.account.to_string();
    assert!(shown.contains("500 system: 1"), "{shown}");
    assert!(shown.contains("a.jsonl:6 things: an unexpected problem (correlation id c-1)"), "{shown}");
}

#[tokio::test]
async fn a_server_that_fails_for_every_line_ends_the_load_and_refuses_none() {
    let running = serve(Server::default()).await;
    let files = Files::new();
    let text = lines((0..30).map(|n| format!("{{\"n\":{n},\"defect\":true}}")));
    let input = files.write("a.jsonl", text.as_bytes());
    let loaded = run(&running, vec![input], None, Duration::from_millis(300)).await;
    assert_eq!(loaded.account.answered(), 0, "{}", loaded.account);
    let stopped = loaded.stopped.expect("the load gave up").to_string();
    assert!(stopped.contains("500 an unexpected problem"), "{stopped}");
}

/// The server decides about line 2 before it has line 1; `load` learns about line 1 first.
#[tokio::test]
async fn a_refusal_that_was_decided_before_an_earlier_line_is_not_final() {
    let running = serve(Server::default()).await;
    let files = Files::new();
    let bodies = [r#"{"n":1,"slow":true}"#, r#"{"n":2,"needs":1,"late":true}"#, r#"{"n":3}"#];
    running.server.requests.lock().map(|mut requests| *requests = 6).expect("not poisoned");
    let input = files.write("a.jsonl", lines(bodies.map(str::to_owned)).as_bytes());
    let loaded = run_with(2, &running, vec![input], None, TIMEOUT).await;
    assert_eq!((loaded.account.created, loaded.account.refused()), (3, 0), "{}", loaded.account);
    assert_eq!(loaded.account.postponed, 1);
}

#[tokio::test]
async fn a_byte_order_mark_is_skipped_and_utf_16_is_named() {
    let running = serve(Server::default()).await;
    let files = Files::new();
    let marked = files.write("a.jsonl", format!("\u{feff}{}", numbered(3)).as_bytes());
    let loaded = run(&running, vec![marked], None, TIMEOUT).await;
    assert_eq!((loaded.account.created, loaded.account.refused()), (3, 0), "{}", loaded.account);
    let utf_16: Vec<u8> = format!("\u{feff}{}", numbered(3)).encode_utf16().flat_map(u16::to_le_bytes).collect();
    let loaded = run(&running, vec![files.write("b.jsonl", &utf_16)], None, TIMEOUT).await;
    let stopped = format!("{:?}", loaded.stopped.expect("it is refused"));
    assert!(stopped.contains("convert it to UTF-8"), "{stopped}");
    assert_eq!(loaded.account.answered(), 0);
}

#[tokio::test]
async fn a_server_that_stays_unavailable_ends_the_load_with_the_line_that_waited() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("the listener is bound")).parse().expect("a valid URL");
    drop(listener);
    let running = RunningServer { server: Arc::default(), url, task: tokio::spawn(async {}) };
    let files = Files::new();
    let input = files.write("a.jsonl", lines((0..3).map(|n| format!("{{\"n\":{n}}}"))).as_bytes());
    let loaded = run(&running, vec![input], None, Duration::from_millis(120)).await;
    let stopped = loaded.stopped.expect("the load gave up").to_string();
    assert!(stopped.contains("a.jsonl:") && stopped.contains("gave up"), "{stopped}");
    assert_eq!(loaded.account.answered(), 0);
}

#[tokio::test]
async fn a_damaged_file_is_reported_and_the_lines_before_the_damage_are_loaded() {
    let running = serve(Server::default()).await;
    let files = Files::new();
    let mut packed = GzEncoder::new(Vec::new(), Compression::none());
    packed.write_all(lines((0..200).map(|n| format!("{{\"n\":{n}}}"))).as_bytes()).expect("the bytes fit in memory");
    let mut bytes = packed.finish().expect("the file is compressed");
    bytes.truncate(bytes.len() / 2);
    let loaded = run(&running, vec![files.write("a.gz", &bytes)], None, TIMEOUT).await;
    assert!(loaded.stopped.is_some() && !loaded.is_complete());
    assert!(loaded.account.created > 0 && loaded.account.created < 200, "{}", loaded.account);
}
