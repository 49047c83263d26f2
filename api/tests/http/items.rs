//! Responses about one document: status, `Location`, `ETag`, preconditions, body.

use crate::fakes::{Answer, Call, Fake, ID, Started, request, written};
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use futures::FutureExt;
use millstream_api::ApiOptions;
use millstream_api::problem::ProblemKind;
use millstream_writer::{EtagMatch, Outcome, Preconditions};

const STUDENTS: &str = "/data/meadow/students";

fn item() -> String {
    format!("{STUDENTS}/{ID}")
}

async fn get(api: &Started, headers: &[(&str, &str)]) -> Answer {
    api.send(request("GET", &item(), headers, Body::empty())).await
}

#[tokio::test]
async fn a_document_is_served_byte_for_byte_with_its_version() {
    let answer = get(&Fake::default().start(), &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("etag"), Some("\"7\""));
    assert!(answer.header("content-type").is_some_and(|value| value.starts_with("application/json")));
    let expected = format!(
        r#"{{"id":"{ID}","_etag":"7","_lastModifiedDate":"2031-08-20T09:15:00Z","studentUniqueId":"S-7001","weight": 1.10}}"#
    );
    assert_eq!(answer.body, expected.as_bytes());
}

#[tokio::test]
async fn a_client_with_the_current_version_gets_304_without_a_body() {
    let api = Fake::default().start();
    for tag in ["\"7\"", "W/\"7\"", "7", "*", "\"1\", \"7\""] {
        let answer = get(&api, &[("if-none-match", tag)]).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_MODIFIED, 0), "{tag}");
        assert_eq!(answer.header("etag"), Some("\"7\""));
    }
    for tag in ["\"6\"", "\"77\"", "\"7-json\"", ""] {
        assert_eq!(get(&api, &[("if-none-match", tag)]).await.status, StatusCode::OK, "{tag}");
    }
}

#[tokio::test]
async fn a_read_with_the_etag_of_another_version_in_if_match_fails() {
    let api = Fake::default().start();
    assert_eq!(get(&api, &[("if-match", "\"7\"")]).await.status, StatusCode::OK);
    get(&api, &[("if-match", "\"6\"")]).await.problem(ProblemKind::OptimisticLockFailed);
    let both = [("if-match", "\"7\""), ("if-none-match", "\"7\"")];
    assert_eq!(get(&api, &both).await.status, StatusCode::OK, "If-Match wins");
}

#[tokio::test]
async fn a_new_document_gives_201_with_its_address_in_the_case_of_the_schema() {
    let api = Fake::default().start();
    let answer =
        api.send(request("POST", "/data/MEADOW/STUDENTS", &[("host", "localhost:8080")], Body::from("{}"))).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::CREATED, 0));
    assert_eq!(answer.header("location"), Some(&*format!("http://localhost:8080{}", item())));
    assert_eq!(answer.header("etag"), Some("\"8\""));
}

#[tokio::test]
async fn an_existing_document_gives_200_with_its_address() {
    for outcome in [Outcome::Updated, Outcome::Unchanged] {
        let write = Box::new(move |_: &Call| std::future::ready(Ok(written(outcome))).boxed());
        let api = Fake { write, ..Fake::default() }.start();
        let answer = api.send(request("POST", STUDENTS, &[("host", "localhost")], Body::from("{}"))).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
        assert_eq!(answer.header("location"), Some(&*format!("http://localhost{}", item())));
        assert_eq!(answer.header("etag"), Some("\"8\""));
    }
}

#[tokio::test]
async fn addresses_start_with_the_public_url_or_are_paths() {
    let public_url = Some("https://edfi.example.org/api/".parse().expect("a URL"));
    let api = Fake { options: ApiOptions { public_url, ..ApiOptions::default() }, ..Fake::default() }.start();
    let answer = api.send(request("POST", STUDENTS, &[("host", "127.0.0.1:1")], Body::from("{}"))).await;
    assert_eq!(answer.header("location"), Some(&*format!("https://edfi.example.org/api{}", item())));
    let api = Fake::default().start();
    let answer = api.send(request("POST", STUDENTS, &[], Body::from("{}"))).await;
    assert_eq!(answer.header("location"), Some(&*item()), "without a host");
}

#[tokio::test]
async fn put_gives_204_with_the_version_and_delete_gives_204() {
    let api = Fake::default().start();
    let put = api.send(request("PUT", &item(), &[("content-type", "application/json")], Body::from("{\"a\":1}"))).await;
    assert_eq!((put.status, put.body.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(put.header("etag"), Some("\"8\""));
    let delete = api.ask("DELETE", &item()).await;
    assert_eq!((delete.status, delete.body.len(), delete.header("etag")), (StatusCode::NO_CONTENT, 0, None));
    let (resource, when) = ("students".to_owned(), Preconditions::default());
    let expected = [
        Call::Put { resource: resource.clone(), uuid: ID, body: Bytes::from_static(b"{\"a\":1}"), when: when.clone() },
        Call::Delete { resource, uuid: ID, when },
    ];
    assert_eq!(api.calls(), expected);
}

#[tokio::test]
async fn preconditions_reach_the_writer() {
    let api = Fake::default().start();
    let headers = [("if-match", "W/\"7\", \"x\""), ("if-none-match", "*")];
    api.send(request("POST", STUDENTS, &headers, Body::from("{}"))).await;
    api.send(request("PUT", &item(), &headers, Body::from("{}"))).await;
    api.send(request("DELETE", &item(), &headers, Body::empty())).await;
    let expected = Preconditions { if_match: Some(EtagMatch::Versions(vec![7])), if_none_match: Some(EtagMatch::Any) };
    let calls = api.calls();
    assert_eq!(calls.len(), 3);
    for call in calls {
        let (Call::Post { when, .. } | Call::Put { when, .. } | Call::Delete { when, .. }) = call;
        assert_eq!(when, expected);
    }
}
