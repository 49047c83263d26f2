//! Health, metrics and the discovery document.

use crate::fakes::{Fake, ID, SOON, gated, request};
use axum::body::Body;
use axum::http::StatusCode;
use metrics_exporter_prometheus::PrometheusBuilder;
use millstream_api::{ApiOptions, metrics as names};
use millstream_testkit::{World, wait_until};

#[tokio::test]
async fn a_process_that_runs_is_live_and_says_when_it_is_ready() {
    for (is_ready, status, text) in
        [(true, StatusCode::OK, "ready"), (false, StatusCode::SERVICE_UNAVAILABLE, "not ready")]
    {
        let api = Fake { ready: is_ready, ..Fake::default() }.start();
        assert_eq!(api.ask("GET", "/health").await.status, StatusCode::OK);
        let ready = api.ask("GET", "/health/ready").await;
        assert_eq!((ready.status, ready.json()["status"].as_str()), (status, Some(text)));
        let check = &ready.json()["checks"][0];
        assert_eq!((check["name"].as_str(), check["ok"].as_bool()), (Some("database"), Some(is_ready)));
    }
}

#[tokio::test]
async fn metrics_are_the_text_that_they_are_given_as() {
    let answer = Fake::default().start().ask("GET", "/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.header("content-type").is_some_and(|value| value.starts_with("text/plain; version=0.0.4")));
    assert_eq!(answer.body, "millstream_up 1\n");
}

#[tokio::test]
async fn the_first_page_says_what_is_served_and_where() {
    let answer = Fake::default().start().send(request("GET", "/", &[("host", "localhost:80")], Body::empty())).await;
    let root = answer.json();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(root["urls"]["dataManagementApi"], "http://localhost:80/data/");
    assert_eq!(root["effectiveSchemaHash"], *World::fixtures().mapping.effective_schema_hash);
    let models: Vec<(&str, &str)> = root["dataModels"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|model| Some((model["name"].as_str()?, model["endpoint"].as_str()?)))
        .collect();
    assert_eq!(models, [("Brook", "brook"), ("Meadow", "meadow")]);
}

#[tokio::test]
async fn requests_are_counted_by_route_method_and_class_of_status() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let rendered = recorder.handle();
    // This runtime has one thread, so all that happens here is recorded here.
    let _recording = metrics::set_default_local_recorder(&recorder);
    names::describe();
    let (fake, _gate, _) = gated(ApiOptions { requests_max: 1, ..ApiOptions::default() });
    let api = fake.start();
    api.ask("GET", &format!("/data/meadow/students/{ID}")).await;
    api.ask("GET", "/data/Meadow/Schools/5/").await;
    api.ask("BREW", "/nothing").await;
    let waiting = {
        let api = api.clone();
        tokio::spawn(async move { api.send(request("POST", "/data/meadow/students", &[], Body::from("{}"))).await })
    };
    wait_until("the write has begun", SOON, || async { !api.calls().is_empty() }).await;
    api.ask("GET", "/data/meadow/students").await;
    assert!(rendered.render().contains("millstream_http_requests_in_flight 1\n"));
    waiting.abort();
    assert!(waiting.await.expect_err("aborted").is_cancelled());
    let text = rendered.render();
    for line in [
        r#"millstream_http_requests_total{route="/data/{project}/{endpoint}/{id}",method="GET",status="2xx"} 1"#,
        r#"millstream_http_requests_total{route="/data/{project}/{endpoint}/{id}",method="GET",status="4xx"} 1"#,
        r#"millstream_http_requests_total{route="none",method="other",status="4xx"} 1"#,
        r#"millstream_http_requests_total{route="/data/{project}/{endpoint}",method="GET",status="5xx"} 1"#,
        r#"millstream_http_requests_total{route="/data/{project}/{endpoint}",method="POST",status="gone"} 1"#,
        r#"millstream_http_request_seconds_count{route="/data/{project}/{endpoint}/{id}",method="GET"} 2"#,
        "millstream_http_requests_turned_away_total 1",
        "millstream_http_requests_in_flight 0",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
}
