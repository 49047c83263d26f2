//! HTTP requests and their responses.
//!
//! The official client sends every request except bulks. It discards a response that breaks off, but the received part
//! of a bulk response shows which documents are delivered. So bulks use the HTTP client below it, which returns the
//! received part.

use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use opensearch::OpenSearch;
use opensearch::auth::{ClientCertificate, Credentials};
use opensearch::cert::{Certificate, CertificateValidation};
use opensearch::http::headers::{ACCEPT_ENCODING, HeaderValue};
use opensearch::http::response::Response;
use opensearch::http::transport::{SingleNodeConnectionPool, TransportBuilder};
use reqwest::Url;

use super::options::{OpenSearchOptions, OpenSearchOptionsError};

/// Limit of a bulk response: above the largest possible one, 1,000 items with long reasons.
const BULK_RESPONSE_BYTES_MAX: usize = 64 << 20;
/// Length of excerpts from responses in messages.
const EXCERPT_BYTES: usize = 400;
/// The fields of a bulk response that the sink reads.
const BULK_FIELDS: &str = "items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason";

/// A client of one cluster.
#[derive(Clone)]
pub(super) struct ClusterClient {
    pub(super) api: OpenSearch,
    http: reqwest::Client,
    bulk_url: Url,
    user: Option<(String, String)>,
}

/// A complete response, of any status.
#[derive(Debug, Clone)]
pub(super) struct ApiResponse {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// The received part of a bulk response.
#[derive(Debug, Clone)]
pub(super) struct BulkResponse {
    pub(super) status: u16,
    pub(super) body: Bytes,
    /// The reason if it broke off.
    pub(super) truncated: Option<String>,
    /// The server's `Retry-After` header.
    pub(super) retry_after: Option<String>,
}

/// A request without a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestError {
    /// The request was not sent.
    Unreachable(String),
    /// The request was sent, or may have been.
    Lost(String),
}

impl RequestError {
    pub(super) fn reason(self) -> String {
        let (Self::Unreachable(reason) | Self::Lost(reason)) = self;
        reason
    }
}

impl ClusterClient {
    pub(super) fn new(options: &OpenSearchOptions) -> Result<Self, OpenSearchOptionsError> {
        let url = options.check()?;
        let fault = |what: String| OpenSearchOptionsError { faults: vec![what] };
        let is_plain = url.scheme() == "http";
        let mut bulk_url = url.clone();
        if let Ok(mut path) = bulk_url.path_segments_mut() {
            path.pop_if_empty().push("_bulk");
        }
        let timeout_ms = (options.answer_timeout / 2).as_millis();
        bulk_url
            .query_pairs_mut()
            .append_pair("require_alias", "true")
            .append_pair("timeout", &format!("{timeout_ms}ms"))
            .append_pair("filter_path", BULK_FIELDS);
        let unusable =
            |error: &dyn std::error::Error| fault(format!("the client cannot be created: {}", innermost(error)));
        let http = bulk_client(options, is_plain).map_err(|error| unusable(&error))?;
        let mut transport = TransportBuilder::new(SingleNodeConnectionPool::new(url))
            .timeout(options.answer_timeout)
            // No compression: the network is close, and it costs CPU on the node.
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .disable_proxy();
        if let Some((user, password)) = &options.user {
            transport = transport.auth(Credentials::Basic(user.clone(), password.clone()));
        } else if let Some(pem) = &options.client_certificate {
            transport = transport.auth(Credentials::Certificate(ClientCertificate::Pem(pem.clone())));
        }
        if let Some(pem) = &options.ca_certificates {
            let trusted = Certificate::from_pem(pem).map_err(|error| unusable(&error))?;
            transport = transport.cert_validation(CertificateValidation::Full(trusted));
        } else if is_plain {
            transport = transport.cert_validation(CertificateValidation::None);
        }
        let transport = transport.build().map_err(|error| unusable(&error))?;
        Ok(Self { api: OpenSearch::new(transport), http, bulk_url, user: options.user.clone() })
    }

    /// Sends a request of the official client and reads the complete response.
    pub(super) async fn read(
        &self,
        request: impl Future<Output = Result<Response, opensearch::Error>>,
    ) -> Result<ApiResponse, RequestError> {
        let response = request.await.map_err(|error| request_error(&error))?;
        let status = response.status_code().as_u16();
        let body = response.bytes().await.map_err(|error| RequestError::Lost(describe_error(&error)))?;
        Ok(ApiResponse { status, body })
    }

    /// Sends a bulk and reads the response as far as it arrives.
    pub(super) async fn bulk(&self, lines: Bytes) -> Result<BulkResponse, RequestError> {
        let request = self.http.post(self.bulk_url.clone()).header("content-type", "application/x-ndjson").body(lines);
        let request = match &self.user {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        let mut response = request.send().await.map_err(|error| http_error(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = BytesMut::new();
        let truncated = loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > BULK_RESPONSE_BYTES_MAX => {
                    break Some(format!("the response has more than {BULK_RESPONSE_BYTES_MAX} bytes"));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break None,
                Err(error) => break Some(describe_error(&error)),
            }
        };
        Ok(BulkResponse { status, body: body.freeze(), truncated, retry_after })
    }
}

/// Builds the HTTP client of bulks. Without TLS (`is_plain`) it disables certificate checks, so that it does not load
/// root certificates: on a machine without any, even plain HTTP would fail.
fn bulk_client(options: &OpenSearchOptions, is_plain: bool) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .timeout(options.answer_timeout)
        .connect_timeout(options.answer_timeout.min(Duration::from_secs(10)))
        // A redirected bulk would leave the configured cluster.
        .redirect(reqwest::redirect::Policy::none())
        .no_gzip()
        .no_proxy();
    if let Some(pem) = &options.ca_certificates {
        for certificate in reqwest::Certificate::from_pem_bundle(pem)? {
            builder = builder.add_root_certificate(certificate);
        }
    } else if is_plain {
        builder = builder.danger_accept_invalid_certs(true);
    }
    if let (None, Some(pem)) = (&options.user, &options.client_certificate) {
        builder = builder.identity(reqwest::Identity::from_pem(pem)?);
    }
    builder.build()
}

fn request_error(error: &opensearch::Error) -> RequestError {
    match error.source().and_then(|source| source.downcast_ref::<reqwest::Error>()) {
        Some(error) => http_error(error),
        None => RequestError::Lost(describe_error(error)),
    }
}

fn http_error(error: &reqwest::Error) -> RequestError {
    if error.is_connect() || error.is_builder() {
        RequestError::Unreachable(describe_error(error))
    } else {
        RequestError::Lost(describe_error(error))
    }
}

/// Returns the message of the innermost cause.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        message = error.to_string();
        source = error.source();
    }
    message
}

/// Returns the two innermost causes. The outer ones only repeat the address and that a request failed.
fn describe_error(error: &(dyn std::error::Error + 'static)) -> String {
    let chain: Vec<_> = std::iter::successors(Some(error), |&error| error.source()).collect();
    if chain.iter().any(|error| error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout)) {
        return "no response in time".to_owned();
    }
    let causes: Vec<String> = chain.iter().rev().take(2).rev().map(ToString::to_string).collect();
    causes.join(": ")
}

impl ApiResponse {
    pub(super) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the server's error message.
    pub(super) fn error_summary(&self) -> String {
        error_summary(self.status, &self.body)
    }

    pub(super) fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Returns whether the error has this type.
    pub(super) fn is_error(&self, kind: &str) -> bool {
        read_error(&self.body).is_some_and(|error| error.kind.as_deref() == Some(kind))
    }
}

/// A response whose content cannot be interpreted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct InvalidResponse(pub(super) String);

impl From<String> for InvalidResponse {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

#[derive(serde::Deserialize)]
struct ErrorBody {
    error: ErrorText,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum ErrorText {
    Structured(ErrorDetail),
    Plain(String),
}

#[derive(serde::Deserialize)]
struct ErrorDetail {
    #[serde(rename = "type")]
    kind: Option<String>,
    reason: Option<String>,
}

fn read_error(body: &[u8]) -> Option<ErrorDetail> {
    match serde_json::from_slice::<ErrorBody>(body).ok()?.error {
        ErrorText::Structured(detail) => Some(detail),
        ErrorText::Plain(reason) => Some(ErrorDetail { kind: None, reason: Some(reason) }),
    }
}

/// Returns the status and the reason of an error response.
pub(super) fn error_summary(status: u16, body: &[u8]) -> String {
    let reason = read_error(body).and_then(|error| match (error.kind, error.reason) {
        (Some(kind), Some(reason)) => Some(format!("{kind}: {reason}")),
        (kind, reason) => kind.or(reason),
    });
    let reason = reason.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    format!("status {status}, {}", excerpt(&reason))
}

/// Returns the beginning of a long text.
pub(super) fn excerpt(text: &str) -> &str {
    &text[..text.floor_char_boundary(EXCERPT_BYTES)]
}
