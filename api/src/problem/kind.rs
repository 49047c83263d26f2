//! The kinds of problem: status, type and title (docs/design/edfi-api.md#edfi-6.7).

use axum::http::StatusCode;

/// The prefix of every type.
const PREFIX: &str = "urn:ed-fi:api:";

/// A kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// 400: malformed request, unknown query field, or a descriptor that does not exist.
    BadRequest,
    /// 400: the body breaks the schema or a constraint of its type.
    DataValidationFailed,
    /// 400: the identity of this type is immutable.
    KeyChangeNotSupported,
    /// 400: invalid value of a query parameter.
    ParameterValidationFailed,
    /// 403: a web page of another origin sent the request.
    CrossSiteRequest,
    /// 404: no such address.
    NotFound,
    /// 405: the address does not support this method; `Allow` lists those it supports.
    MethodNotAllowed,
    /// 408: the body did not arrive in time.
    RequestTimeout,
    /// 409: referenced documents do not exist.
    UnresolvedReference,
    /// 409: another document has this identity, or the identity change is refused.
    IdentityConflict,
    /// 409: other documents reference this one.
    DependentItemExists,
    /// 412: `If-Match` names another version.
    OptimisticLockFailed,
    /// 412: `If-None-Match` names this version.
    IfNoneMatchFailed,
    /// 413: the body is larger than the limit.
    ContentTooLarge,
    /// 415: the body is not declared as JSON, or is encoded.
    UnsupportedMediaType,
    /// 421: the request names a host that this server does not answer for.
    MisdirectedRequest,
    /// 500: a bug.
    System,
    /// 503: overloaded, shutting down, the database is not available, or a write kept conflicting with concurrent ones.
    ServiceUnavailable,
    /// 503: the database does not have the tables of this schema.
    DatabaseNotProvisioned,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 19] = [
        Self::BadRequest,
        Self::DataValidationFailed,
        Self::KeyChangeNotSupported,
        Self::ParameterValidationFailed,
        Self::CrossSiteRequest,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::UnresolvedReference,
        Self::IdentityConflict,
        Self::DependentItemExists,
        Self::OptimisticLockFailed,
        Self::IfNoneMatchFailed,
        Self::ContentTooLarge,
        Self::UnsupportedMediaType,
        Self::MisdirectedRequest,
        Self::System,
        Self::ServiceUnavailable,
        Self::DatabaseNotProvisioned,
    ];

    const fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "Bad Request"),
            Self::DataValidationFailed => {
                (StatusCode::BAD_REQUEST, "bad-request:data-validation-failed", "Data Validation Failed")
            }
            Self::KeyChangeNotSupported => (
                StatusCode::BAD_REQUEST,
                "bad-request:data-validation-failed:key-change-not-supported",
                "Key Change Not Supported",
            ),
            Self::ParameterValidationFailed => {
                (StatusCode::BAD_REQUEST, "bad-request:parameter-validation-failed", "Parameter Validation Failed")
            }
            Self::CrossSiteRequest => (StatusCode::FORBIDDEN, "forbidden:cross-site-request", "Cross-Site Request"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not Found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method Not Allowed"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request-timeout", "Request Timeout"),
            Self::UnresolvedReference => {
                (StatusCode::CONFLICT, "data-conflict:unresolved-reference", "Unresolved Reference")
            }
            Self::IdentityConflict => (StatusCode::CONFLICT, "identity-conflict", "Identifying Values Are Not Unique"),
            Self::DependentItemExists => {
                (StatusCode::CONFLICT, "data-conflict:dependent-item-exists", "Dependent Item Exists")
            }
            Self::OptimisticLockFailed => {
                (StatusCode::PRECONDITION_FAILED, "optimistic-lock-failed", "Optimistic Lock Failed")
            }
            Self::IfNoneMatchFailed => {
                (StatusCode::PRECONDITION_FAILED, "precondition-failed:if-none-match", "Precondition Failed")
            }
            Self::ContentTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "content-too-large", "Content Too Large"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Unsupported Media Type")
            }
            Self::MisdirectedRequest => (StatusCode::MISDIRECTED_REQUEST, "misdirected-request", "Misdirected Request"),
            Self::System => (StatusCode::INTERNAL_SERVER_ERROR, "system", "System Error"),
            Self::ServiceUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "service-unavailable", "Service Unavailable"),
            Self::DatabaseNotProvisioned => {
                (StatusCode::SERVICE_UNAVAILABLE, "database-not-provisioned", "Database Not Provisioned")
            }
        }
    }

    /// Returns the HTTP status.
    pub const fn status(self) -> StatusCode {
        self.row().0
    }

    /// Returns the type without the prefix.
    pub const fn name(self) -> &'static str {
        self.row().1
    }

    /// Returns the full type.
    pub fn urn(self) -> String {
        format!("{PREFIX}{}", self.name())
    }

    /// Returns the title.
    pub const fn title(self) -> &'static str {
        self.row().2
    }
}
