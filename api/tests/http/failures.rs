//! Refused writes, failures, panics and overload: each has its problem document, without internal details.

use crate::fakes::{Fake, ID, SOON, gated, request};
use axum::body::Body;
use axum::http::StatusCode;
use futures::FutureExt;
use millstream_api::ApiOptions;
use millstream_api::problem::ProblemKind;
use millstream_store::error::{ErrorKind, StoreError};
use millstream_store::read::ReadError;
use millstream_testkit::wait_until;
use millstream_writer::WriteError;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

const STUDENTS: &str = "/data/meadow/students";

type MakeError = fn() -> WriteError;

fn validation_errors() -> BTreeMap<String, Vec<String>> {
    BTreeMap::from([("$.a".to_owned(), vec!["a is required.".to_owned()])])
}

const REFUSALS: [(MakeError, ProblemKind, &str); 20] = [
    (|| WriteError::Malformed { errors: vec!["no JSON".to_owned()] }, ProblemKind::BadRequest, "no JSON"),
    (
        || WriteError::Invalid { validation_errors: validation_errors(), errors: vec!["more".to_owned()] },
        ProblemKind::DataValidationFailed,
        r#""validationErrors":{"$.a":["a is required."]},"errors":["more"]"#,
    ),
    (
        || WriteError::KeyChangeNotSupported { detail: "keys stay".to_owned() },
        ProblemKind::KeyChangeNotSupported,
        "keys stay",
    ),
    (
        || WriteError::DescriptorNotFound { validation_errors: validation_errors() },
        ProblemKind::BadRequest,
        "a is required.",
    ),
    (
        || WriteError::UnresolvedReference { errors: vec!["School at $.s".to_owned()] },
        ProblemKind::UnresolvedReference,
        "School at $.s",
    ),
    (|| WriteError::IdentityConflict { detail: "taken".to_owned() }, ProblemKind::IdentityConflict, "taken"),
    (|| WriteError::RenameRefused { detail: "too many".to_owned() }, ProblemKind::IdentityConflict, "too many"),
    (
        || WriteError::DependentItemExists { resources: vec!["Section".to_owned(), "Session".to_owned()] },
        ProblemKind::DependentItemExists,
        "existing Section, Session item(s)",
    ),
    (|| WriteError::NotFound, ProblemKind::NotFound, "could not be found"),
    (|| WriteError::PreconditionFailed, ProblemKind::OptimisticLockFailed, "read it again"),
    (|| WriteError::IfNoneMatchFailed, ProblemKind::IfNoneMatchFailed, "If-None-Match"),
    (|| WriteError::Busy { attempts: 4 }, ProblemKind::ServiceUnavailable, "try again"),
    (
        || WriteError::OutcomeUnknown(StoreError::new(ErrorKind::OutcomeUnknown, "SECRET")),
        ProblemKind::ServiceUnavailable,
        "committed is unknown: repeat",
    ),
    (
        || WriteError::Unavailable(StoreError::new(ErrorKind::Connect, "SECRET")),
        ProblemKind::ServiceUnavailable,
        "cannot be reached",
    ),
    (
        || WriteError::Unavailable(StoreError::new(ErrorKind::ReadOnly, "SECRET")),
        ProblemKind::ServiceUnavailable,
        "no writes at the moment",
    ),
    (
        || WriteError::Unavailable(StoreError::new(ErrorKind::Resources, "SECRET")),
        ProblemKind::ServiceUnavailable,
        "disk, memory",
    ),
    (
        || WriteError::Unavailable(StoreError::new(ErrorKind::ConnectionLost, "SECRET")),
        ProblemKind::ServiceUnavailable,
        "database",
    ),
    (
        || WriteError::Unavailable(StoreError::new(ErrorKind::LockTimeout, "SECRET")),
        ProblemKind::ServiceUnavailable,
        "in time",
    ),
    (
        || WriteError::Unavailable(StoreError::new(ErrorKind::Schema { message: "SECRET".to_owned() }, "SECRET")),
        ProblemKind::DatabaseNotProvisioned,
        "provision",
    ),
    (|| WriteError::Internal("SECRET".into()), ProblemKind::System, "correlation id"),
];

#[tokio::test]
async fn every_refusal_of_a_write_has_its_problem() {
    let item = format!("{STUDENTS}/{ID}");
    for (error, kind, told) in REFUSALS {
        let api = Fake::refusing(error).start();
        for (method, path) in [("POST", STUDENTS), ("PUT", &item), ("DELETE", &item)] {
            let answer = api.send(request(method, path, &[], Body::from("{}"))).await;
            answer.problem(kind);
            let text = String::from_utf8_lossy(&answer.body);
            assert!(text.contains(told), "{text}");
            assert!(!text.contains("SECRET"), "{text}");
            let retry_after = (kind == ProblemKind::ServiceUnavailable).then_some("1");
            assert_eq!(answer.header("retry-after"), retry_after);
        }
    }
}

#[tokio::test]
async fn failed_reads_tell_nothing_of_the_inside() {
    let cases: [(fn() -> StoreError, ProblemKind); 3] = [
        (|| StoreError::new(ErrorKind::ConnectionLost, "SECRET"), ProblemKind::ServiceUnavailable),
        (|| StoreError::new(ErrorKind::Cancelled, "SECRET"), ProblemKind::ServiceUnavailable),
        (|| StoreError::other("SECRET"), ProblemKind::System),
    ];
    for (error, kind) in cases {
        let api = Fake {
            get: Box::new(move |_| Err(ReadError::Store(error()))),
            page: Box::new(move |_| Err(ReadError::Store(error()))),
            ..Fake::default()
        }
        .start();
        for path in [STUDENTS, &format!("{STUDENTS}/{ID}")] {
            let answer = api.ask("GET", path).await;
            answer.problem(kind);
            assert!(!String::from_utf8_lossy(&answer.body).contains("SECRET"));
        }
    }
}

#[tokio::test]
async fn every_problem_has_an_id_of_its_own() {
    let api = Fake::default().start();
    let mut ids = HashSet::new();
    for _ in 0..10 {
        let problem = api.ask("GET", "/nothing").await.problem(ProblemKind::NotFound);
        assert!(ids.insert(problem["correlationId"].to_string()));
    }
}

#[tokio::test]
async fn a_panic_is_a_problem_and_the_process_goes_on() {
    let api = Fake {
        write: Box::new(|_| async { panic!("SECRET {}", 1) }.boxed()),
        get: Box::new(|_| panic!("SECRET")),
        ..Fake::default()
    }
    .start();
    for (method, path) in [("POST", STUDENTS), ("GET", &format!("{STUDENTS}/{ID}"))] {
        let answer = api.send(request(method, path, &[], Body::from("{}"))).await;
        answer.problem(ProblemKind::System);
        assert!(!String::from_utf8_lossy(&answer.body).contains("SECRET"));
    }
    assert_eq!(api.ask("GET", STUDENTS).await.status, StatusCode::OK);
}

#[tokio::test]
async fn beyond_the_limit_requests_are_turned_away_until_a_write_has_really_ended() {
    let (fake, gate, ended) = gated(ApiOptions { requests_max: 1, ..ApiOptions::default() });
    let api = fake.start();
    let abandoned = {
        let api = api.clone();
        tokio::spawn(async move { api.send(request("POST", STUDENTS, &[], Body::from("{}"))).await })
    };
    wait_until("the write has begun", SOON, || async { !api.calls().is_empty() }).await;
    let turned_away = api.ask("GET", STUDENTS).await;
    turned_away.problem(ProblemKind::ServiceUnavailable);
    assert_eq!(turned_away.header("retry-after"), Some("1"));
    assert_eq!(api.ask("GET", "/health").await.status, StatusCode::OK, "health is told whatever the load");
    // The client disconnects: its write continues and keeps its permit.
    abandoned.abort();
    assert!(abandoned.await.expect_err("aborted").is_cancelled());
    api.ask("GET", STUDENTS).await.problem(ProblemKind::ServiceUnavailable);
    gate.add_permits(1);
    wait_until("there is room again", SOON, || async { api.ask("GET", STUDENTS).await.status == StatusCode::OK }).await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_and_its_write_goes_on() {
    let (fake, gate, ended) = gated(ApiOptions { request_timeout: Duration::from_millis(30), ..ApiOptions::default() });
    let api = fake.start();
    let answer = api.send(request("POST", STUDENTS, &[], Body::from("{}"))).await;
    answer.problem(ProblemKind::ServiceUnavailable);
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    gate.add_permits(1);
    wait_until("the write ends", SOON, || async { ended.load(Ordering::SeqCst) == 1 }).await;
}
