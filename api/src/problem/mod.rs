//! Problem documents: the body of every error response (docs/design/edfi-api.md#edfi-6.7).
//!
//! A [`Problem`] has a public and an internal side. The client receives the document. The reason given to
//! [`Problem::because`] goes to the log only, under the same correlation id.

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

/// The detail of problems whose reasons are in `errors`.
pub(crate) const SEE_ERRORS: &str = "The request could not be processed. See 'errors' for details.";

/// Messages by JSON path.
pub type ValidationErrors = BTreeMap<String, Vec<String>>;

/// An error response.
#[derive(Debug)]
pub struct Problem(Box<ProblemParts>);

#[derive(Debug)]
struct ProblemParts {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    validation_errors: ValidationErrors,
    errors: Vec<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
    internal: Option<String>,
}

/// The body of the response. Its members are in the order of docs/design/edfi-api.md#edfi-6.7.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProblemDocument<'a> {
    detail: &'a str,
    r#type: String,
    title: &'static str,
    status: u16,
    correlation_id: Uuid,
    validation_errors: &'a ValidationErrors,
    errors: &'a [String],
}

impl Problem {
    /// Creates a problem. `detail` is for the client: the failure, and what to do about it.
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(ProblemParts {
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

    /// Adds a header to the response.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Closes the connection after this response. Otherwise, the server would read the rest of the request body as the
    /// next request.
    #[must_use]
    pub(crate) fn closing(self) -> Self {
        self.with_header(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// Sets the reason that is logged. The client does not receive it.
    #[must_use]
    pub fn because(mut self, internal: impl Into<String>) -> Self {
        self.0.internal = Some(internal.into());
        self
    }

    /// Returns the kind.
    pub fn kind(&self) -> ProblemKind {
        self.0.kind
    }

    fn log(&self, correlation_id: Uuid) {
        let (problem, detail) = (self.0.kind.name(), &*self.0.detail);
        let internal = self.0.internal.as_deref().unwrap_or_default();
        tracing::Span::current().record("correlation_id", tracing::field::display(correlation_id));
        if self.0.kind.status().is_server_error() {
            tracing::error!(%correlation_id, problem, internal, "request failed: {detail}");
        } else {
            tracing::debug!(%correlation_id, problem, internal, "request refused: {detail}");
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let correlation_id = Uuid::new_v4();
        self.log(correlation_id);
        let inner = *self.0;
        let document = ProblemDocument {
            detail: &inner.detail,
            r#type: inner.kind.urn(),
            title: inner.kind.title(),
            status: inner.kind.status().as_u16(),
            correlation_id,
            validation_errors: &inner.validation_errors,
            errors: &inner.errors,
        };
        let body = serde_json::to_vec(&document).unwrap_or_else(|error| {
            tracing::error!(%correlation_id, %error, "failed to serialize a problem document");
            Vec::new()
        });
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = inner.kind.status();
        response.headers_mut().insert(header::CONTENT_TYPE, MEDIA_TYPE);
        response.headers_mut().extend(inner.headers);
        response
    }
}
