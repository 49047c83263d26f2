//! `/data/{project}/{endpoint}/{id}`: one document.

use super::write;
use crate::address::{Address, Segments};
use crate::backend::DocumentWriter;
use crate::media::JSON;
use crate::min_version::check_min_version;
use crate::problem::Problem;
use crate::request::{ReceivedBody, etag, preconditions, read_body};
use crate::state::ApiState;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header, request};
use axum::response::{IntoResponse, Response};
use millstream_schema::plan::ResourceIx;
use std::sync::Arc;
use uuid::Uuid;

const METHODS: &str = "GET, HEAD, PUT, DELETE";

pub(crate) async fn item(
    State(api): State<Arc<ApiState>>,
    segments: Segments,
    request: Request,
) -> Result<Response, Problem> {
    let address = Address::resolve(&api, segments)?;
    let (head, body) = request.into_parts();
    if ![Method::GET, Method::HEAD, Method::PUT, Method::DELETE].contains(&head.method) {
        return Err(Problem::method_not_allowed(METHODS));
    }
    let uuid = address.id.ok_or_else(Problem::no_such_item)?;
    tracing::Span::current().record("document_id", tracing::field::display(uuid));
    match head.method {
        Method::PUT => put(&api, address.resource, uuid, &head, body).await,
        Method::DELETE => delete(&api, address.resource, uuid, &head).await,
        _ => {
            check_min_version(&api, &head.headers).await?;
            get(&api, address.resource, uuid, &head.headers).await
        }
    }
}

async fn get(api: &ApiState, resource: ResourceIx, uuid: Uuid, headers: &HeaderMap) -> Result<Response, Problem> {
    let _admission = api.admit()?;
    let document = api.reader.get(resource, uuid).await?.ok_or_else(Problem::no_such_item)?;
    let conditions = preconditions(headers);
    let tag = etag(document.version);
    if let Some(expected) = conditions.if_match {
        if !expected.matches(document.version) {
            return Err(Problem::another_version());
        }
    } else if conditions.if_none_match.is_some_and(|known| known.matches(document.version)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    Ok(([(header::CONTENT_TYPE, JSON), (header::ETAG, tag)], Body::from(document.into_json())).into_response())
}

async fn put(
    api: &ApiState,
    resource: ResourceIx,
    uuid: Uuid,
    head: &request::Parts,
    body: Body,
) -> Result<Response, Problem> {
    let ReceivedBody { bytes: body, memory } = read_body(api, &head.headers, body).await?;
    let held = (api.admit()?, memory);
    let conditions = preconditions(&head.headers);
    let put = |writer: Arc<dyn DocumentWriter>| async move { writer.put(resource, uuid, body, conditions).await };
    let written = write::run(api, held, put).await?;
    Ok((StatusCode::NO_CONTENT, [(header::ETAG, etag(written.version))]).into_response())
}

async fn delete(api: &ApiState, resource: ResourceIx, uuid: Uuid, head: &request::Parts) -> Result<Response, Problem> {
    let conditions = preconditions(&head.headers);
    let delete = |writer: Arc<dyn DocumentWriter>| async move { writer.delete(resource, uuid, conditions).await };
    write::run(api, api.admit()?, delete).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
