//! `/data/{project}/{endpoint}`: a collection.
//!
//! A page is a JSON array of the same bytes that a GET of each document returns. `Total-Count` is the number of matching
//! documents (`totalCount=true`). `Next-Page-Token` comes with every full page, and with one that is shorter because its
//! documents are large; passed as `pageToken`, it continues after that page at the same cost at any depth.

use super::write;
use crate::address::{Address, Segments};
use crate::backend::DocumentWriter;
use crate::links::{base_url, location};
use crate::media::{ENVELOPE_BYTES, JSON};
use crate::min_version::check_min_version;
use crate::problem::Problem;
use crate::request::{ReceivedBody, etag, preconditions, read_body, read_query};
use crate::state::ApiState;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header, request};
use axum::response::{IntoResponse, Response};
use millstream_pipeline::memory::reserved_bytes;
use millstream_schema::plan::ResourceIx;
use millstream_store::read::ReadDocument;
use millstream_writer::Outcome;
use std::sync::Arc;

const METHODS: &str = "GET, HEAD, POST";
const TOTAL_COUNT: HeaderName = HeaderName::from_static("total-count");
const NEXT_PAGE_TOKEN: HeaderName = HeaderName::from_static("next-page-token");

pub(crate) async fn collection(
    State(api): State<Arc<ApiState>>,
    segments: Segments,
    request: Request,
) -> Result<Response, Problem> {
    let address = Address::resolve(&api, segments)?;
    let (head, body) = request.into_parts();
    match head.method {
        Method::GET | Method::HEAD => {
            check_min_version(&api, &head.headers).await?;
            page(&api, address.resource, head.uri.query()).await
        }
        Method::POST => post(&api, address.resource, &head, body).await,
        _ => Err(Problem::method_not_allowed(METHODS)),
    }
}

async fn page(api: &ApiState, resource: ResourceIx, query: Option<&str>) -> Result<Response, Problem> {
    let request = read_query(query, &api.options)?;
    let _admission = api.admit()?;
    let page = api.reader.page(resource, &request).await?;
    let mut response = Response::new(Body::from(reserved_bytes(array(page.documents), page.memory)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    if let Some(total) = page.total {
        headers.insert(TOTAL_COUNT, HeaderValue::from(total));
    }
    if let Some(token) = page.next_page_token.and_then(|token| HeaderValue::try_from(token).ok()) {
        headers.insert(NEXT_PAGE_TOKEN, token);
    }
    Ok(response)
}

/// Writes a page. Each body is freed once it is copied.
fn array(documents: Vec<ReadDocument>) -> Vec<u8> {
    let bodies: usize = documents.iter().map(|document| document.body.len() + ENVELOPE_BYTES).sum();
    let mut bytes = Vec::with_capacity(bodies + 2);
    bytes.push(b'[');
    for (at, document) in documents.into_iter().enumerate() {
        if at > 0 {
            bytes.push(b',');
        }
        document.append_to(&mut bytes);
    }
    bytes.push(b']');
    bytes
}

async fn post(api: &ApiState, resource: ResourceIx, head: &request::Parts, body: Body) -> Result<Response, Problem> {
    let ReceivedBody { bytes: body, memory } = read_body(api, &head.headers, body).await?;
    let held = (api.admit()?, memory);
    let conditions = preconditions(&head.headers);
    let post = |writer: Arc<dyn DocumentWriter>| async move { writer.post(resource, body, conditions).await };
    let written = write::run(api, held, post).await?;
    tracing::Span::current().record("document_id", tracing::field::display(written.uuid));
    let status = if written.outcome == Outcome::Created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = (status, [(header::ETAG, etag(written.version))]).into_response();
    let base_url = base_url(api, &head.headers, &head.uri);
    if let Some(location) = location(&base_url, api.mapping.resource(resource), written.uuid) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}
