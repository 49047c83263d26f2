//! Requests and what came of them.
//!
//! The official client makes every request but the bulk. Of an answer that breaks off it hands out nothing, and the part
//! of a bulk's answer that did arrive says which documents are delivered: so that one request is made with the HTTP client
//! below it, which hands out what it has.

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

use super::options::{OpenSearchOptions, OptionsError};

/// More than the answer to the largest bulk can have: 1,000 items, each with a long reason.
const BULK_ANSWER_BYTES_MAX: usize = 64 << 20;
/// How much of an answer goes into a message.
const EXCERPT_BYTES: usize = 400;
/// What a bulk's answer says of each item; nothing else is needed of it.
const BULK_FIELDS: &str = "items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason";

/// A client of one cluster.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) api: OpenSearch,
    http: reqwest::Client,
    bulk_url: Url,
    user: Option<(String, String)>,
}

/// A whole answer, whatever it says.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// As much of an answer as came.
#[derive(Debug, Clone)]
pub(super) struct BulkAnswer {
    pub(super) status: u16,
    pub(super) body: Bytes,
    /// Why it broke off, if it did.
    pub(super) cut: Option<String>,
    /// When to come back, as the server put it.
    pub(super) retry_after: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// Nothing was sent.
    Unreachable(String),
    /// It was sent, or may have been.
    Lost(String),
}

impl NoAnswer {
    pub(super) fn reason(self) -> String {
        let (Self::Unreachable(reason) | Self::Lost(reason)) = self;
        reason
    }
}

impl Client {
    pub(super) fn new(options: &OpenSearchOptions) -> Result<Self, OptionsError> {
        let url = options.check()?;
        let fault = |what: String| OptionsError { faults: vec![what] };
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
        let unusable = |error: &dyn std::error::Error| fault(format!("no client can be made: {}", innermost(error)));
        let http = bulk_client(options, is_plain).map_err(|error| unusable(&error))?;
        let mut transport = TransportBuilder::new(SingleNodeConnectionPool::new(url))
            .timeout(options.answer_timeout)
            // The way is short, and the node has better things to do.
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

    /// Reads the whole answer to a request of the official client.
    pub(super) async fn read(
        &self,
        request: impl Future<Output = Result<Response, opensearch::Error>>,
    ) -> Result<Answer, NoAnswer> {
        let response = request.await.map_err(|error| no_answer(&error))?;
        let status = response.status_code().as_u16();
        let body = response.bytes().await.map_err(|error| NoAnswer::Lost(words(&error)))?;
        Ok(Answer { status, body })
    }

    /// Sends a bulk and reads as much of the answer as comes.
    pub(super) async fn bulk(&self, lines: Bytes) -> Result<BulkAnswer, NoAnswer> {
        let request = self.http.post(self.bulk_url.clone()).header("content-type", "application/x-ndjson").body(lines);
        let request = match &self.user {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        let mut response = request.send().await.map_err(|error| plain_no_answer(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = BytesMut::new();
        let cut = loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > BULK_ANSWER_BYTES_MAX => {
                    break Some(format!("the answer has more than {BULK_ANSWER_BYTES_MAX} bytes"));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break None,
                Err(error) => break Some(words(&error)),
            }
        };
        Ok(BulkAnswer { status, body: body.freeze(), cut, retry_after })
    }
}

/// `is_plain`: without TLS. There is no certificate to be checked then, and nothing to check it by is looked for: a machine
/// without any certificates could not even speak plain HTTP otherwise.
fn bulk_client(options: &OpenSearchOptions, is_plain: bool) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .timeout(options.answer_timeout)
        .connect_timeout(options.answer_timeout.min(Duration::from_secs(10)))
        // A bulk that is led elsewhere is nobody's any more.
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

fn no_answer(error: &opensearch::Error) -> NoAnswer {
    match error.source().and_then(|source| source.downcast_ref::<reqwest::Error>()) {
        Some(error) => plain_no_answer(error),
        None => NoAnswer::Lost(words(error)),
    }
}

fn plain_no_answer(error: &reqwest::Error) -> NoAnswer {
    if error.is_connect() || error.is_builder() {
        NoAnswer::Unreachable(words(error))
    } else {
        NoAnswer::Lost(words(error))
    }
}

/// What went wrong at the bottom of it.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = error.to_string();
        source = error.source();
    }
    words
}

/// The innermost causes. The outer ones repeat the address, and say only that a request failed.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let chain: Vec<_> = std::iter::successors(Some(error), |&error| error.source()).collect();
    if chain.iter().any(|error| error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout)) {
        return "no answer came in time".to_owned();
    }
    let causes: Vec<String> = chain.iter().rev().take(2).rev().map(ToString::to_string).collect();
    causes.join(": ")
}

impl Answer {
    pub(super) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What the server said went wrong.
    pub(super) fn complaint(&self) -> String {
        complaint(self.status, &self.body)
    }

    pub(super) fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Whether this is the type of the error.
    pub(super) fn is_error(&self, kind: &str) -> bool {
        read_error(&self.body).is_some_and(|error| error.kind.as_deref() == Some(kind))
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

/// A status and its reason in words.
pub(super) fn complaint(status: u16, body: &[u8]) -> String {
    let reason = read_error(body).and_then(|error| match (error.kind, error.reason) {
        (Some(kind), Some(reason)) => Some(format!("{kind}: {reason}")),
        (kind, reason) => kind.or(reason),
    });
    let reason = reason.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    format!("status {status}, {}", excerpt(&reason))
}

/// The beginning of a text that may be long.
pub(super) fn excerpt(text: &str) -> &str {
    &text[..text.floor_char_boundary(EXCERPT_BYTES)]
}
