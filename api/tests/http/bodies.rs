//! Request bodies: those that reach the writer, and those that the server refuses.

use crate::fakes::{Call, Fake, ID, Started, request};
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use futures::stream;
use millstream_api::ApiOptions;
use millstream_api::problem::ProblemKind;
use std::convert::Infallible;
use std::io;
use std::time::Duration;

const STUDENTS: &str = "/data/meadow/students";

fn limited_to(bytes: usize) -> Started {
    Fake { options: ApiOptions { body_max_bytes: bytes, ..ApiOptions::default() }, ..Fake::default() }.start()
}

fn in_parts(parts: &'static [&'static str]) -> Body {
    Body::from_stream(stream::iter(parts.iter().map(|part| Ok::<_, Infallible>(Bytes::from_static(part.as_bytes())))))
}

#[tokio::test]
async fn a_body_in_several_parts_arrives_complete() {
    let api = limited_to(10);
    for body in [Body::from("0123456789"), in_parts(&["0123", "", "456789"])] {
        assert_eq!(api.send(request("POST", STUDENTS, &[], body)).await.status, StatusCode::CREATED);
    }
    for call in api.calls() {
        assert!(matches!(call, Call::Post { body, .. } if body == "0123456789"));
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_with_or_without_a_length() {
    let api = limited_to(10);
    let item = format!("{STUDENTS}/{ID}");
    for (method, path) in [("POST", STUDENTS), ("PUT", &item)] {
        for body in [Body::from("0123456789a"), in_parts(&["01234", "56789", "a"])] {
            let answer = api.send(request(method, path, &[], body)).await;
            let problem = answer.problem(ProblemKind::ContentTooLarge);
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("10 bytes")));
            assert_eq!(answer.header("connection"), Some("close"));
        }
    }
    assert!(api.calls().is_empty());
}

#[tokio::test]
async fn other_types_and_encodings_are_refused() {
    let api = Fake::default().start();
    for header in [
        ("content-type", "text/plain"),
        ("content-type", "application/json; charset=utf-16"),
        ("content-encoding", "gzip"),
    ] {
        api.send(request("POST", STUDENTS, &[header], Body::from("{}")))
            .await
            .problem(ProblemKind::UnsupportedMediaType);
    }
    let mut undeclared = request("POST", STUDENTS, &[], Body::from("{}"));
    undeclared.headers_mut().remove("content-type");
    api.send(undeclared).await.problem(ProblemKind::UnsupportedMediaType);
    assert!(api.calls().is_empty());
    for value in ["application/json", "application/json;charset=utf-8", "application/problem+json"] {
        let answer = api.send(request("POST", STUDENTS, &[("content-type", value)], Body::from("{}"))).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{value}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_times_out() {
    let options = ApiOptions { body_timeout: Duration::from_millis(30), ..ApiOptions::default() };
    let api = Fake { options, ..Fake::default() }.start();
    let body = Body::from_stream(stream::pending::<io::Result<Bytes>>());
    let answer = api.send(request("POST", STUDENTS, &[], body)).await;
    answer.problem(ProblemKind::RequestTimeout);
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(api.calls().is_empty());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let api = Fake::default().start();
    let body = Body::from_stream(stream::iter([Ok(Bytes::from_static(b"{")), Err(io::Error::other("secret reason"))]));
    let answer = api.send(request("POST", STUDENTS, &[], body)).await;
    answer.problem(ProblemKind::BadRequest);
    assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
    assert!(api.calls().is_empty());
}
