//! `/search`: queries passed to the engine, responses and refusals.

use crate::fakes::{Answer, Fake, Started, request};
use axum::body::Body;
use axum::http::StatusCode;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use millstream_api::problem::ProblemKind;
use millstream_api::{CopyWait, Extras, ReadCopy, SearchParts, WaitError, Waited};
use millstream_search::conformance::{Document, MemoryEngine};
use millstream_search::{SearchEngine, SearchError, SearchModel, SearchPage, SearchQuery};
use millstream_store::compose::envelope;
use millstream_testkit::World;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use uuid::Uuid;

const SCHOOLS: &str = "/search/meadow/schools";

static MODEL: LazyLock<Arc<SearchModel>> = LazyLock::new(|| Arc::new(SearchModel::of(&World::fixtures().mapping)));

/// An API that searches the documents of the fixtures.
pub(crate) fn loaded() -> Started {
    let engine = MemoryEngine::new(Arc::clone(&MODEL));
    engine.put(&fixture_documents());
    over(Arc::new(engine), None)
}

fn over(engine: Arc<dyn SearchEngine>, copies: Option<Arc<dyn CopyWait>>) -> Started {
    let search = Some(SearchParts { engine, model: Arc::clone(&MODEL) });
    Fake { extras: Extras { search, copies, ..Extras::default() }, ..Fake::default() }.start()
}

fn fixture_documents() -> Vec<Document> {
    let world = World::fixtures();
    let path = world.corpus.root().join("documents.jsonl");
    let documents = millstream_testkit::corpus::read(&path).expect("the file of documents opens");
    let at = "2031-01-01T00:00:00Z".parse().expect("a timestamp");
    let documents = (1_i64..).zip(documents).map(|(version, document)| {
        let document = document.expect("a document a line");
        let ix = world.mapping.route(&document.project, &document.resource).expect("a type of the schema");
        let uuid = Uuid::from_u128(0x5EA4_0000_0000_4000_8000_0000_0000_0000 + u128::from(version.unsigned_abs()));
        let body = Some(envelope(document.body(), uuid, version, at).into());
        Document { uuid, resource_key: world.mapping.resource(ix).key, version, body }
    });
    documents.collect()
}

#[tokio::test]
async fn an_answer_has_the_members_that_were_asked_for() {
    let api = loaded();
    let plain = api.ask("GET", &format!("{SCHOOLS}?schoolId=710003")).await;
    assert_eq!(plain.status, StatusCode::OK);
    assert_eq!(plain.header("content-type"), Some("application/json; charset=utf-8"));
    let json = plain.json();
    assert_eq!(json.as_object().expect("an object").keys().collect::<Vec<_>>(), ["documents"]);
    assert_eq!(json["documents"][0]["nameOfInstitution"], "Cedar Creek High");
    let all = api.ask("GET", &format!("{SCHOOLS}?limit=2&totalCount=true&facet=acceptsTransfers&sort=schoolId")).await;
    let json = all.json();
    assert_eq!(
        json.as_object().expect("an object").keys().collect::<Vec<_>>(),
        ["documents", "totalCount", "facets", "next"]
    );
    assert_eq!((json["documents"].as_array().map(Vec::len), json["totalCount"].as_u64()), (Some(2), Some(6)));
    let cursor = json["next"].as_str().expect("a text");
    let next = api.ask("GET", &format!("{SCHOOLS}/?limit=500&sort=schoolId&cursor={cursor}")).await.json();
    assert_eq!(next["documents"].as_array().map(Vec::len), Some(4));
    assert!(next.get("next").is_none());
}

#[tokio::test]
async fn documents_are_the_bytes_that_the_engine_holds() {
    let api = loaded();
    let answer = api.ask("GET", &format!("{SCHOOLS}?schoolId=710003")).await;
    let held = fixture_documents().into_iter().find_map(|document| {
        document.body.filter(|body| body.windows(19).any(|bytes| bytes == br#""schoolId":710003,""#))
    });
    let body = held.expect("the fixtures have the school");
    assert_eq!(answer.body, [br#"{"documents":["#, &*body, b"]}"].concat());
}

#[tokio::test]
async fn the_edge_is_that_of_data() {
    let api = loaded();
    assert_eq!(api.ask("HEAD", SCHOOLS).await.status, StatusCode::OK);
    assert_eq!(api.ask("GET", "/search/MEADOW/Schools").await.status, StatusCode::OK);
    api.ask("GET", "/search/meadow/nowhere").await.problem(ProblemKind::NotFound);
    api.ask("GET", "/search/meadow").await.problem(ProblemKind::NotFound);
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = api.ask(method, SCHOOLS).await;
        answer.problem(ProblemKind::MethodNotAllowed);
        assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{method}");
    }
    api.ask("GET", &format!("{SCHOOLS}?q=%FF")).await.problem(ProblemKind::BadRequest);
}

#[tokio::test]
async fn every_bad_parameter_is_named() {
    let api = loaded();
    let answer = api.ask("GET", &format!("{SCHOOLS}?limit=501&nowhere=1&sort=addresses.city&cursor=x")).await;
    let problem = answer.problem(ProblemKind::ParameterValidationFailed);
    let errors: Vec<&str> =
        problem["errors"].as_array().expect("a list").iter().map(|error| error.as_str().expect("a text")).collect();
    let named = ["'limit'", "'nowhere'", "'sort'"].map(|name| errors.iter().any(|error| error.contains(name)));
    assert_eq!((errors.len(), named), (3, [true; 3]), "{errors:?}");
    let answer = api.ask("GET", &format!("{SCHOOLS}?cursor=x")).await;
    let problem = answer.problem(ProblemKind::ParameterValidationFailed);
    assert!(problem["errors"][0].as_str().is_some_and(|error| error.contains("'cursor'")), "{problem}");
}

#[tokio::test]
async fn without_an_engine_the_setting_is_named() {
    let answer = Fake::default().start().ask("GET", SCHOOLS).await;
    let problem = answer.problem(ProblemKind::NotFound);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("search.sink")), "{problem}");
}

/// An engine that fails.
struct Failing(SearchError);

impl SearchEngine for Failing {
    fn describe(&self) -> String {
        "an engine at 10.0.0.1".to_owned()
    }

    fn search<'a>(&'a self, _: &'a SearchQuery) -> BoxFuture<'a, Result<SearchPage, SearchError>> {
        ready(Err(self.0.clone())).boxed()
    }

    fn refresh(&self) -> BoxFuture<'_, Result<(), SearchError>> {
        ready(Err(self.0.clone())).boxed()
    }
}

#[tokio::test]
async fn what_the_engine_says_stays_in_the_log() {
    let (engine, reason) = ("an engine at 10.0.0.1".to_owned(), "secret".to_owned());
    let gone = SearchError::Unavailable { engine: engine.clone(), reason: reason.clone() };
    let answer = over(Arc::new(Failing(gone)), None).ask("GET", SCHOOLS).await;
    let problem = answer.problem(ProblemKind::ServiceUnavailable);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(!problem.to_string().contains("secret"));
    let refused = SearchError::Refused { reason: "The facet 'a' has too many values.".to_owned() };
    let problem = over(Arc::new(Failing(refused)), None).ask("GET", SCHOOLS).await;
    let problem = problem.problem(ProblemKind::ParameterValidationFailed);
    assert_eq!(problem["errors"][0], "The facet 'a' has too many values.");
    let broken = SearchError::Failed { engine, reason };
    let problem = over(Arc::new(Failing(broken)), None).ask("GET", SCHOOLS).await.problem(ProblemKind::System);
    assert!(!problem.to_string().contains("10.0.0.1"), "{problem}");
}

/// A copy at version 7 of 9, and the waits that it received.
#[derive(Default)]
struct AtSeven(Mutex<Vec<(ReadCopy, i64, Duration)>>);

impl CopyWait for AtSeven {
    fn wait(&self, copy: ReadCopy, version: i64, time_max: Duration) -> BoxFuture<'_, Result<Waited, WaitError>> {
        self.0.lock().expect("no test panics here").push((copy, version, time_max));
        let waited = match (copy, version) {
            (_, 66) => Err(WaitError { reason: "secret".to_owned() }),
            (_, 10..) => Ok(Waited::NeverGiven),
            (ReadCopy::Search, 8..) => Ok(Waited::Behind),
            _ => Ok(Waited::Reached),
        };
        ready(waited).boxed()
    }
}

async fn asked_for(api: &Started, path: &str, version: &str) -> Answer {
    api.send(request("GET", path, &[("X-Millstream-Min-Version", version)], Body::empty())).await
}

#[tokio::test]
async fn a_request_can_ask_for_a_version() {
    let copies = Arc::new(AtSeven::default());
    let engine = Arc::new(MemoryEngine::new(Arc::clone(&MODEL)));
    let api = over(engine, Some(Arc::clone(&copies) as Arc<dyn CopyWait>));
    let students = "/data/meadow/students";
    let student = format!("{students}/{}", crate::fakes::ID);
    assert_eq!(asked_for(&api, SCHOOLS, "7").await.status, StatusCode::OK);
    let late = asked_for(&api, SCHOOLS, "8").await;
    late.problem(ProblemKind::ServiceUnavailable);
    assert_eq!(late.header("retry-after"), Some("1"));
    // The documents themselves never lag.
    for path in [students, &student] {
        assert_eq!(asked_for(&api, path, "9").await.status, StatusCode::OK, "{path}");
    }
    for path in [SCHOOLS, students, &student] {
        for wrong in ["10", "0", "-1", "", "x", "1.0", "9223372036854775808"] {
            let problem = asked_for(&api, path, wrong).await.problem(ProblemKind::BadRequest);
            let error = problem["errors"][0].as_str().expect("a text");
            assert!(error.contains("X-Millstream-Min-Version"), "{path} {wrong}: {error}");
        }
        asked_for(&api, path, "66").await.problem(ProblemKind::ServiceUnavailable);
    }
    let asked = copies.0.lock().expect("no test panics here");
    assert_eq!(asked[0], (ReadCopy::Search, 7, Duration::from_secs(10)));
    assert_eq!(asked[2], (ReadCopy::Source, 9, Duration::ZERO));
}

#[tokio::test]
async fn a_bad_query_does_not_wait() {
    let copies = Arc::new(AtSeven::default());
    let engine = Arc::new(MemoryEngine::new(Arc::clone(&MODEL)));
    let api = over(engine, Some(Arc::clone(&copies) as Arc<dyn CopyWait>));
    asked_for(&api, &format!("{SCHOOLS}?limit=x"), "8").await.problem(ProblemKind::ParameterValidationFailed);
    assert!(copies.0.lock().expect("no test panics here").is_empty());
}

#[tokio::test]
async fn without_anybody_to_ask_a_search_takes_no_version() {
    asked_for(&loaded(), SCHOOLS, "7").await.problem(ProblemKind::BadRequest);
    assert_eq!(asked_for(&loaded(), "/data/meadow/students", "7").await.status, StatusCode::OK);
}
