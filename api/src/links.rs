//! Links in responses: the base URL and the `Location` of a document.

use crate::options::PublicUrl;
use crate::state::ApiState;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use millstream_schema::plan::ResourcePlan;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

/// Characters that a path segment must encode.
const NOT_IN_A_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns the URL by which the client reached this server: the configured one, else its `Host`. Empty if the client named
/// no host (HTTP/1.0); links are paths then.
pub(crate) fn base_url(api: &ApiState, headers: &HeaderMap, uri: &Uri) -> String {
    if let Some(url) = &api.options.public_url {
        return url.as_str().to_owned();
    }
    // The authority of the request target takes precedence over the header (RFC 9112, 3.2.2).
    let named = uri.authority().map(|authority| authority.as_str());
    let host = named.or_else(|| headers.get(header::HOST)?.to_str().ok());
    host.and_then(PublicUrl::of_host).map_or_else(String::new, |url| url.as_str().to_owned())
}

/// Returns the `Location` of a document, with the project and endpoint in their published case.
pub(crate) fn location(base_url: &str, resource: &ResourcePlan, uuid: Uuid) -> Option<HeaderValue> {
    let segment = |text| utf8_percent_encode(text, NOT_IN_A_SEGMENT);
    let (project, endpoint) = (segment(&resource.project_endpoint), segment(&resource.endpoint));
    HeaderValue::try_from(format!("{base_url}/data/{project}/{endpoint}/{uuid}")).ok()
}
