//! Sends requests and reads the answers.
//!
//! The HTTP client below, not the client library of OpenSearch: that one has no build without a second TLS provider (a C
//! library, built with cmake), and discards an answer that breaks off. The part of a bulk's answer that did arrive says
//! which documents are delivered.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{RequestBuilder, Url, header};
use rustls::crypto::{CryptoProvider, ring};

use super::options::{OpenSearchOptions, OptionsError};
use super::request::Request;

/// More than the answer to the largest bulk can have: 1,000 items, each with a long reason.
const BULK_ANSWER_BYTES_MAX: usize = 64 << 20;
/// How much of an answer goes into a message.
const EXCERPT_BYTES: usize = 400;
/// What a bulk's answer says of each item; nothing else is needed of it.
const BULK_FIELDS: &str = "items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason";

/// A client of one cluster.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
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
        let http = http_client(options, is_plain)
            .map_err(|error| fault(format!("no client can be made: {}", innermost(error.as_ref()))))?;
        Ok(Self { http, url, bulk_url, user: options.user.clone() })
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn send(&self, request: Request) -> Result<Answer, NoAnswer> {
        let url = request.url(&self.url);
        let mut sent = self.http.request(request.method, url).header(header::ACCEPT, "application/json");
        if let Some(body) = request.body {
            sent = sent.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        let response = self.as_user(sent).send().await.map_err(|error| no_answer(&error))?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| NoAnswer::Lost(words(&error)))?;
        Ok(Answer { status, body })
    }

    fn as_user(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.user {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }

    /// Sends a bulk and reads as much of the answer as comes.
    pub(super) async fn bulk(&self, lines: Bytes) -> Result<BulkAnswer, NoAnswer> {
        let request = self.http.post(self.bulk_url.clone());
        let request = request.header(header::CONTENT_TYPE, "application/x-ndjson").body(lines);
        let mut response = self.as_user(request).send().await.map_err(|error| no_answer(&error))?;
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

/// `is_plain`: without TLS. No certificate is checked then, and the client loads none: loading fails on a machine that has
/// none, even for plain HTTP.
fn http_client(options: &OpenSearchOptions, is_plain: bool) -> Result<reqwest::Client, Box<dyn Error>> {
    // The HTTP client takes the provider of the process. A program that has chosen one keeps it.
    if CryptoProvider::get_default().is_none() {
        // An error means that another thread has installed one in the meantime.
        ring::default_provider().install_default().unwrap_or_else(|_: Arc<CryptoProvider>| ());
    }
    // No compression is asked for: the network is short, and the node has better things to do.
    let mut builder = reqwest::Client::builder()
        .timeout(options.answer_timeout)
        .connect_timeout(options.answer_timeout.min(Duration::from_secs(10)))
        // Documents and the password go to the configured address only.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(pem) = &options.ca_certificates {
        let certificates = reqwest::Certificate::from_pem_bundle(pem)?;
        if certificates.is_empty() {
            return Err("the certificate authorities hold no PEM certificate".into());
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

fn no_answer(error: &reqwest::Error) -> NoAnswer {
    if error.is_connect() || error.is_builder() {
        NoAnswer::Unreachable(words(error))
    } else {
        NoAnswer::Lost(words(error))
    }
}

/// What went wrong at the bottom of it.
fn innermost(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = error.to_string();
        source = error.source();
    }
    words
}

/// The innermost causes. The outer ones repeat the address, and say only that a request failed.
fn words(error: &(dyn Error + 'static)) -> String {
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
