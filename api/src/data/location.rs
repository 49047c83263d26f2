//! Addresses of documents, as answers give them.

use crate::options::PublicUrl;
use crate::routes::Shared;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use millstream_schema::plan::ResourcePlan;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

/// What a path segment cannot hold as it is.
const NOT_IN_A_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How the client reached this server: the configured URL, else its `Host`. Empty if it named none (HTTP/1.0): links
/// are paths then.
pub(crate) fn base_url(api: &Shared, headers: &HeaderMap, uri: &Uri) -> String {
    if let Some(url) = &api.options.public_url {
        return url.as_str().to_owned();
    }
    // The target's own authority stands above the header (RFC 9112, 3.2.2).
    let named = uri.authority().map(|authority| authority.as_str());
    let host = named.or_else(|| headers.get(header::HOST)?.to_str().ok());
    host.and_then(PublicUrl::of_host).map_or_else(String::new, |url| url.as_str().to_owned())
}

/// The `Location` of a document, in the proper case.
pub(super) fn location(base_url: &str, resource: &ResourcePlan, uuid: Uuid) -> Option<HeaderValue> {
    let segment = |text| utf8_percent_encode(text, NOT_IN_A_SEGMENT);
    let (project, endpoint) = (segment(&resource.project_endpoint), segment(&resource.endpoint));
    HeaderValue::try_from(format!("{base_url}/data/{project}/{endpoint}/{uuid}")).ok()
}
