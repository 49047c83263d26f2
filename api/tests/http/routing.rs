//! Addresses, their spellings and their methods.

use crate::fakes::{Call, Fake, ID, request};
use axum::body::Body;
use axum::http::StatusCode;
use millstream_api::problem::ProblemKind;

#[tokio::test]
async fn addresses_are_found_in_any_case_and_with_a_slash_at_the_end() {
    let api = Fake::default().start();
    for path in ["/data/meadow/students", "/data/MEADOW/Students", "/data/meadow/students/", "/data/brook/busRoutes"] {
        assert_eq!(api.ask("GET", path).await.status, StatusCode::OK, "{path}");
    }
    for path in
        [format!("/data/meadow/students/{ID}"), format!("/data/Meadow/STUDENTS/{}/", ID.to_string().to_uppercase())]
    {
        assert_eq!(api.ask("GET", &path).await.status, StatusCode::OK, "{path}");
    }
    // Percent-encoding makes no difference.
    assert_eq!(api.ask("GET", "/data/meadow/student%73").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_has_no_address_is_not_found() {
    let api = Fake::default().start();
    for path in [
        "/data/meadow/unicorns",
        "/data/nowhere/students",
        "/data/meadow/educationOrganizations", // abstract
        "/data/brook/schools",                 // a resource extension
        "/data/brook/students",                // of another project
        "/data/meadow%2Fstudents/x",
        "/data/meadow",
        "/data/meadow/",
        "/data/",
        "/data//students",
        "/data/meadow/students/a/b",
        "/DATA/meadow/students",
        "/nothing",
    ] {
        api.ask("GET", path).await.problem(ProblemKind::NotFound);
        api.ask("POST", path).await.problem(ProblemKind::NotFound);
    }
    assert!(api.calls().is_empty());
}

#[tokio::test]
async fn an_id_that_no_document_can_have_is_not_found() {
    let api = Fake::default().start();
    for id in ["5", "students", &ID.simple().to_string(), "0420a54c-16df-4fff-8f48-d87d35e71fe8"] {
        api.ask("GET", &format!("/data/meadow/students/{id}")).await.problem(ProblemKind::NotFound);
    }
    api.ask("DELETE", "/data/meadow/students/5").await.problem(ProblemKind::NotFound);
    assert!(api.calls().is_empty());
}

#[tokio::test]
async fn a_path_that_is_no_text_is_refused() {
    let api = Fake::default().start();
    api.ask("GET", "/data/meadow/%FF").await.problem(ProblemKind::BadRequest);
    api.ask("GET", "/data/meadow/students/%C3%28").await.problem(ProblemKind::BadRequest);
}

#[tokio::test]
async fn other_methods_are_told_which_are_taken() {
    let api = Fake::default().start();
    let item = format!("/data/meadow/students/{ID}");
    for (path, allow, methods) in [
        ("/data/meadow/students", "GET, HEAD, POST", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "UNICORN"]),
        (&*item, "GET, HEAD, PUT, DELETE", ["POST", "PATCH", "OPTIONS", "TRACE", "get", "UNICORN"]),
        ("/", "GET, HEAD", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"]),
        ("/health/ready", "GET, HEAD", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"]),
    ] {
        for method in methods {
            let answer = api.ask(method, path).await;
            answer.problem(ProblemKind::MethodNotAllowed);
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        }
    }
    assert!(api.calls().is_empty());
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let api = Fake::default().start();
    for path in [&*format!("/data/meadow/students/{ID}"), "/data/meadow/students", "/", "/health", "/metrics"] {
        let (get, head) = (api.ask("GET", path).await, api.ask("HEAD", path).await);
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0), "{path}");
        assert_eq!(head.headers.get("content-length"), get.headers.get("content-length"), "{path}");
        assert_eq!(head.headers.get("etag"), get.headers.get("etag"), "{path}");
    }
    api.ask("HEAD", "/data/meadow/unicorns").await.status.is_client_error().then_some(()).expect("404");
}

#[tokio::test]
async fn the_resource_of_the_address_reaches_the_writer() {
    let api = Fake::default().start();
    api.send(request("POST", "/data/BROOK/busroutes/", &[], Body::from("{}"))).await;
    api.ask("DELETE", &format!("/data/meadow/Schools/{ID}")).await;
    let resources: Vec<String> = api
        .calls()
        .into_iter()
        .map(|call| match call {
            Call::Post { resource, .. } | Call::Put { resource, .. } | Call::Delete { resource, .. } => resource,
        })
        .collect();
    assert_eq!(resources, ["busRoutes", "schools"]);
}
