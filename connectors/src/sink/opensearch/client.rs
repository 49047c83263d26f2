//! Sends HTTP requests and reads the responses.
//!
//! The sink uses the HTTP client directly instead of OpenSearch's client library. That library cannot be built without a
//! second TLS provider (a C library, built with cmake). It also discards a response that breaks off, but the received
//! part of a bulk response shows which documents are delivered.

use std::error::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{RequestBuilder, Response, Url, header};
use rustls::crypto::ring;

use super::options::{OpenSearchOptions, OpenSearchOptionsError};
use super::request::Request;

/// Limit of a response: above the largest possible one of a bulk, 1,000 items with long reasons, and of one document.
pub(super) const RESPONSE_BYTES_MAX: usize = 64 << 20;
/// Length of excerpts from responses in messages.
const EXCERPT_BYTES: usize = 400;
/// The fields of a bulk response that the sink reads.
const BULK_FIELDS: &str = "items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason";

/// A client of one cluster.
#[derive(Clone)]
pub(super) struct ClusterClient {
    http: reqwest::Client,
    url: Url,
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
        let timeout_ms = (options.answer_timeout / 2).as_millis();
        let bulk_url = Request::post(&["_bulk"])
            .with("require_alias", "true")
            .with("timeout", format!("{timeout_ms}ms"))
            .with("filter_path", BULK_FIELDS)
            .url(&url);
        let http = http_client(options, is_plain)
            .map_err(|error| fault(format!("the client cannot be created: {}", innermost(error.as_ref()))))?;
        Ok(Self { http, url, bulk_url, user: options.user.clone() })
    }

    /// Sends a request and reads the complete response.
    pub(super) async fn send(&self, request: Request) -> Result<ApiResponse, RequestError> {
        let response = self.send_within(request, RESPONSE_BYTES_MAX).await?;
        response.ok_or_else(|| RequestError::Lost(too_long(RESPONSE_BYTES_MAX)))
    }

    /// Sends a request and reads the complete response; returns `None` if it has more than `bytes_max` bytes.
    pub(super) async fn send_within(
        &self,
        request: Request,
        bytes_max: usize,
    ) -> Result<Option<ApiResponse>, RequestError> {
        let url = request.url(&self.url);
        let mut builder = self.http.request(request.method, url).header(header::ACCEPT, "application/json");
        if let Some(body) = request.body {
            builder = builder.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        let response = self.with_user(builder).send().await.map_err(|error| request_error(&error))?;
        let status = response.status().as_u16();
        match read_body(response, bytes_max).await {
            (body, None) => Ok(Some(ApiResponse { status, body })),
            (_, Some(Truncation::TooLong)) => Ok(None),
            (_, Some(Truncation::Broken(reason))) => Err(RequestError::Lost(reason)),
        }
    }

    fn with_user(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.user {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }

    /// Sends a bulk and reads the response as far as it arrives.
    pub(super) async fn bulk(&self, lines: Bytes) -> Result<BulkResponse, RequestError> {
        let request = self.http.post(self.bulk_url.clone());
        let request = request.header(header::CONTENT_TYPE, "application/x-ndjson").body(lines);
        let response = self.with_user(request).send().await.map_err(|error| request_error(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (body, truncation) = read_body(response, RESPONSE_BYTES_MAX).await;
        let truncated = truncation.map(|truncation| match truncation {
            Truncation::TooLong => too_long(RESPONSE_BYTES_MAX),
            Truncation::Broken(reason) => reason,
        });
        Ok(BulkResponse { status, body, truncated, retry_after })
    }
}

/// Why only the beginning of a response was read.
enum Truncation {
    TooLong,
    Broken(String),
}

/// Reads a response as far as it arrives and as `bytes_max` allows.
async fn read_body(mut response: Response, bytes_max: usize) -> (Bytes, Option<Truncation>) {
    let mut body = BytesMut::new();
    let truncation = loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > bytes_max => break Some(Truncation::TooLong),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break None,
            Err(error) => break Some(Truncation::Broken(describe_error(&error))),
        }
    };
    (body.freeze(), truncation)
}

fn too_long(bytes_max: usize) -> String {
    format!("the response has more than {bytes_max} bytes")
}

/// Builds the HTTP client. Without TLS (`is_plain`) it disables certificate checks, so that it does not load root
/// certificates: on a machine without any, even plain HTTP would fail.
fn http_client(options: &OpenSearchOptions, is_plain: bool) -> Result<reqwest::Client, Box<dyn Error>> {
    // The HTTP client uses the TLS provider of the process. A provider that the program has installed stays.
    drop(ring::default_provider().install_default());
    let mut builder = reqwest::Client::builder()
        .timeout(options.answer_timeout)
        .connect_timeout(options.answer_timeout.min(Duration::from_secs(10)))
        // A redirected request would send documents and the password to another address.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(pem) = &options.ca_certificates {
        let certificates = reqwest::Certificate::from_pem_bundle(pem)?;
        if certificates.is_empty() {
            return Err("the file of certificate authorities contains no PEM certificate".into());
        }
        for certificate in certificates {
            builder = builder.add_root_certificate(certificate);
        }
    } else if is_plain {
        builder = builder.danger_accept_invalid_certs(true);
    }
    if let (None, Some(pem)) = (&options.user, &options.client_certificate) {
        builder = builder.identity(reqwest::Identity::from_pem(pem)?);
    }
    Ok(builder.build()?)
}

fn request_error(error: &reqwest::Error) -> RequestError {
    if error.is_connect() || error.is_builder() {
        RequestError::Unreachable(describe_error(error))
    } else {
        RequestError::Lost(describe_error(error))
    }
}

/// Returns the message of the innermost cause.
fn innermost(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        message = error.to_string();
        source = error.source();
    }
    message
}

/// Returns the two innermost causes. The outer ones only repeat the address and that a request failed.
fn describe_error(error: &(dyn Error + 'static)) -> String {
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
