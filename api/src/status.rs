//! Health, metrics and the discovery document.

use crate::links::base_url;
use crate::media::JSON;
use crate::problem::Problem;
use crate::state::{ApiState, Check, StatusParts};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A check that takes longer counts as failed: an orchestrator needs an answer in time.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Media type of the Prometheus text format.
const PROMETHEUS_TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Check>,
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, JSON)], bytes).into_response(),
        Err(error) => Problem::defect(&error).into_response(),
    }
}

pub(crate) fn live() -> Ready<Response> {
    ready(json(StatusCode::OK, &Health { status: "live", checks: Vec::new() }))
}

pub(crate) async fn readiness(State(parts): State<StatusParts>) -> Response {
    let checks = timeout(PROBE_TIMEOUT, (parts.probe)()).await.unwrap_or_else(|_| {
        let detail = Some(format!("the checks did not end within {} s", PROBE_TIMEOUT.as_secs()));
        vec![Check { name: "probe", ok: false, detail }]
    });
    let is_ready = checks.iter().all(|check| check.ok);
    let (code, status) =
        if is_ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
    json(code, &Health { status, checks })
}

pub(crate) fn metrics(State(parts): State<StatusParts>) -> Ready<Response> {
    ready(([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], (parts.metrics)()).into_response())
}

/// The discovery document, after Ed-Fi's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Root<'a> {
    application: &'static str,
    version: &'static str,
    effective_schema_hash: &'a str,
    data_models: Vec<DataModel<'a>>,
    urls: Urls,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DataModel<'a> {
    name: &'a str,
    version: &'a str,
    endpoint: &'a str,
    resources: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Urls {
    data_management_api: String,
    health: String,
    ready: String,
    metrics: String,
}

pub(crate) fn root(State(api): State<Arc<ApiState>>, uri: Uri, headers: HeaderMap) -> Ready<Response> {
    let base = base_url(&api, &headers, &uri);
    let root = Root {
        application: "Millstream",
        version: env!("CARGO_PKG_VERSION"),
        effective_schema_hash: &api.mapping.effective_schema_hash,
        data_models: data_models(&api),
        urls: Urls {
            data_management_api: format!("{base}/data/"),
            health: format!("{base}/health"),
            ready: format!("{base}/health/ready"),
            metrics: format!("{base}/metrics"),
        },
    };
    ready(json(StatusCode::OK, &root))
}

fn data_models(api: &ApiState) -> Vec<DataModel<'_>> {
    let mut models: BTreeMap<&str, DataModel<'_>> = BTreeMap::new();
    for resource in &api.mapping.resources {
        let model = models.entry(&resource.project_endpoint).or_insert_with(|| DataModel {
            name: &resource.project_name,
            version: &resource.resource_version,
            endpoint: &resource.project_endpoint,
            resources: 0,
        });
        model.resources += 1;
    }
    models.into_values().collect()
}
