//! Requests that a web page of another site makes a browser send (CLOSED).

use crate::fakes::{Answer, Fake, ID, Started, request};
use crate::wire::Wire;
use axum::body::Body;
use axum::http::StatusCode;
use futures::FutureExt;
use millstream_api::problem::ProblemKind;
use millstream_api::{ApiOptions, Check, ServerOptions, StatusParts, serve_status};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const STUDENTS: &str = "/data/meadow/students";

async fn send(api: &Started, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let body = if matches!(method, "POST" | "PUT") { Body::from("{}") } else { Body::empty() };
    api.send(request(method, path, headers, body)).await
}

#[tokio::test]
async fn a_page_whose_name_resolves_to_loopback_reads_and_writes_nothing() {
    let api = Fake::default().start();
    let item = format!("{STUDENTS}/{ID}");
    let rebound =
        [("host", "evil.example:8080"), ("origin", "http://evil.example:8080"), ("sec-fetch-site", "same-origin")];
    for (method, path) in [
        ("GET", STUDENTS),
        ("GET", &item),
        ("POST", STUDENTS),
        ("PUT", &item),
        ("DELETE", &item),
        ("GET", "/search/meadow/students"),
        ("GET", "/"),
        ("GET", "/metrics"),
        ("GET", "/health/ready"),
        ("GET", "/nothing"),
    ] {
        send(&api, method, path, &rebound).await.problem(ProblemKind::MisdirectedRequest);
    }
    assert!(api.calls().is_empty() && api.queries().is_empty());
}

#[tokio::test]
async fn a_page_of_another_site_writes_nothing() {
    let api = Fake::default().start();
    for headers in [
        [("host", "localhost:8080"), ("origin", "http://evil.example"), ("content-type", "text/plain")],
        [("host", "localhost:8080"), ("origin", "null"), ("content-type", "application/json")],
        [("host", "localhost:8080"), ("sec-fetch-site", "cross-site"), ("content-type", "application/json")],
        [("host", "localhost:8080"), ("sec-fetch-site", "same-site"), ("content-type", "application/json")],
    ] {
        send(&api, "POST", STUDENTS, &headers).await.problem(ProblemKind::CrossSiteRequest);
    }
    // Old browsers mark nothing, but cannot declare JSON without asking first.
    let form = [("host", "localhost:8080"), ("content-type", "application/x-www-form-urlencoded")];
    send(&api, "POST", STUDENTS, &form).await.problem(ProblemKind::UnsupportedMediaType);
    let preflight = [("host", "localhost:8080"), ("access-control-request-method", "PUT")];
    let answer = send(&api, "OPTIONS", STUDENTS, &preflight).await;
    assert!(answer.status.is_client_error() && answer.header("access-control-allow-origin").is_none(), "{answer:?}");
    assert!(api.calls().is_empty());
}

#[tokio::test]
async fn clients_of_loopback_names_and_of_the_public_url_are_served() {
    let public_url = Some("https://edfi.example.org/api".parse().expect("a URL"));
    let api = Fake { options: ApiOptions { public_url, ..ApiOptions::default() }, ..Fake::default() }.start();
    for headers in [
        &[][..],
        &[("host", "localhost:8080")],
        &[("host", "127.0.0.1:8080")],
        &[("host", "[::1]:8080"), ("origin", "http://[::1]:8080"), ("sec-fetch-site", "same-origin")],
        &[("host", "edfi.example.org"), ("origin", "https://edfi.example.org"), ("sec-fetch-site", "same-origin")],
        &[("host", "127.0.0.1:8080"), ("origin", "https://edfi.example.org")],
    ] {
        let answer = send(&api, "POST", STUDENTS, headers).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{headers:?}: {answer:?}");
    }
    let link = [("host", "localhost:8080"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    assert_eq!(send(&api, "GET", STUDENTS, &link).await.status, StatusCode::OK, "a link that the user followed");
}

#[tokio::test]
async fn a_process_without_documents_answers_no_other_site_either() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let parts = StatusParts {
        probe: Arc::new(|| std::future::ready(vec![Check { name: "source", ok: true, detail: None }]).boxed()),
        metrics: Arc::new(|| "millstream_up 1\n".to_owned()),
    };
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve_status(listener, parts, None, stop.clone(), ServerOptions::default()));
    for (host, status) in [("localhost", "200"), ("evil.example", "421")] {
        let mut wire = Wire::over(TcpStream::connect(address).await.expect("the server accepts"));
        wire.send(format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes()).await;
        let answer = wire.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
    }
    stop.cancel();
    assert!(serving.await.expect("no panic").is_complete());
}
