//! Problem documents: how every refusal and failure looks to a client (docs/design/edfi-api.md#edfi-6.7).
//!
//! A [`Problem`] has two sides. What stands in the document is for the client; what [`Problem::because`] was told is for
//! the log alone, under the same correlation id. Both meet only here.

mod kind;
mod refusal;

pub use kind::ProblemKind;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Media type of problem documents.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Where the reasons stand in lists.
pub(crate) const SEE_ERRORS: &str = "The request could not be processed. See 'errors' for details.";

/// Messages by JSON path.
pub type ValidationErrors = BTreeMap<String, Vec<String>>;

/// An answer that says what is wrong.
#[derive(Debug)]
pub struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    validation_errors: ValidationErrors,
    errors: Vec<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
    internal: Option<String>,
}

/// The document, its members in the order of the standard.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    detail: &'a str,
    r#type: String,
    title: &'static str,
    status: u16,
    correlation_id: Uuid,
    validation_errors: &'a ValidationErrors,
    errors: &'a [String],
}

impl Problem {
    /// A problem of this kind; `detail` says to the client what happened and what to do.
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            detail: detail.into(),
            validation_errors: ValidationErrors::new(),
            errors: Vec::new(),
            headers: Vec::new(),
            internal: None,
        }))
    }

    /// Adds messages for the client.
    #[must_use]
    pub fn with_errors(mut self, errors: impl IntoIterator<Item = String>) -> Self {
        self.0.errors.extend(errors);
        self
    }

    /// Adds messages for the client, by JSON path.
    #[must_use]
    pub fn with_validation_errors(mut self, errors: ValidationErrors) -> Self {
        self.0.validation_errors.extend(errors);
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The connection ends with this answer: what is left of the request cannot be told from the next one.
    #[must_use]
    pub(crate) fn closing(self) -> Self {
        self.with_header(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// Keeps the reason for the log; the client does not see it.
    #[must_use]
    pub fn because(mut self, internal: impl Into<String>) -> Self {
        self.0.internal = Some(internal.into());
        self
    }

    /// Its kind.
    pub fn kind(&self) -> ProblemKind {
        self.0.kind
    }

    fn log(&self, correlation_id: Uuid) {
        let (problem, detail) = (self.0.kind.name(), &*self.0.detail);
        let internal = self.0.internal.as_deref().unwrap_or_default();
        if self.0.kind.status().is_server_error() {
            tracing::error!(%correlation_id, problem, internal, "a request failed: {detail}");
        } else {
            tracing::debug!(%correlation_id, problem, internal, "a request was refused: {detail}");
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let correlation_id = Uuid::new_v4();
        self.log(correlation_id);
        let inner = *self.0;
        let document = Document {
            detail: &inner.detail,
            r#type: inner.kind.urn(),
            title: inner.kind.title(),
            status: inner.kind.status().as_u16(),
            correlation_id,
            validation_errors: &inner.validation_errors,
            errors: &inner.errors,
        };
        let body = serde_json::to_vec(&document).unwrap_or_else(|error| {
            tracing::error!(%correlation_id, %error, "a problem document could not be written");
            Vec::new()
        });
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = inner.kind.status();
        response.headers_mut().insert(header::CONTENT_TYPE, MEDIA_TYPE);
        response.headers_mut().extend(inner.headers);
        response
    }
}
