//! `/data/{project}/{endpoint}/{id}`: one document.

use super::write::{self, Write};
use super::{Address, JSON, Segments};
use crate::edge::Admission;
use crate::problem::Problem;
use crate::request::{etag, preconditions, read_body};
use crate::routes::Shared;
use crate::search::check_min_version;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millstream_schema::plan::ResourceIx;
use std::sync::Arc;
use uuid::Uuid;

const METHODS: &str = "GET, HEAD, PUT, DELETE";

/// What an answer has beside a stored body.
pub(super) const ENVELOPE_BYTES: usize = 160;

pub(crate) async fn item(
    State(api): State<Arc<Shared>>,
    segments: Segments,
    request: Request,
) -> Result<Response, Problem> {
    let address = Address::resolve(&api, segments)?;
    let (head, body) = request.into_parts();
    if ![Method::GET, Method::HEAD, Method::PUT, Method::DELETE].contains(&head.method) {
        return Err(Problem::method_not_allowed(METHODS));
    }
    let uuid = address.id.ok_or_else(Problem::no_such_item)?;
    let admission = || head.extensions.get::<Arc<Admission>>().map(Arc::clone);
    match head.method {
        Method::PUT => put(&api, admission(), address.resource, uuid, &head.headers, body).await,
        Method::DELETE => delete(&api, admission(), address.resource, uuid, &head.headers).await,
        _ => {
            check_min_version(&api, &head.headers).await?;
            get(&api, address.resource, uuid, &head.headers).await
        }
    }
}

async fn get(api: &Shared, resource: ResourceIx, uuid: Uuid, headers: &HeaderMap) -> Result<Response, Problem> {
    let document = api.reader.get(resource, uuid).await?.ok_or_else(Problem::no_such_item)?;
    let conditions = preconditions(headers);
    let tag = etag(document.version);
    if let Some(wanted) = conditions.if_match {
        if !wanted.matches(document.version) {
            return Err(Problem::another_version());
        }
    } else if conditions.if_none_match.is_some_and(|known| known.matches(document.version)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let mut bytes = Vec::with_capacity(document.body.len() + ENVELOPE_BYTES);
    document.append_to(&mut bytes);
    Ok(([(header::CONTENT_TYPE, JSON), (header::ETAG, tag)], Body::from(bytes)).into_response())
}

async fn put(
    api: &Shared,
    admission: Option<Arc<Admission>>,
    resource: ResourceIx,
    uuid: Uuid,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_body(headers, body, &api.options).await?;
    let written = write::run(api, admission, resource, Write::Put { uuid, body }, preconditions(headers)).await?;
    Ok((StatusCode::NO_CONTENT, [(header::ETAG, etag(written.version))]).into_response())
}

async fn delete(
    api: &Shared,
    admission: Option<Arc<Admission>>,
    resource: ResourceIx,
    uuid: Uuid,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    write::run(api, admission, resource, Write::Delete { uuid }, preconditions(headers)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
