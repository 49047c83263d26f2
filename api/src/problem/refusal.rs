//! Maps errors of the backend to problems. The only place that decides which details of an error a client sees.

use super::{Problem, ProblemKind, SEE_ERRORS, ValidationErrors};
use axum::http::{HeaderValue, header};
use millstream_pipeline::error::chain;
use millstream_store::error::{ErrorKind, StoreError};
use millstream_store::query::QueryError;
use millstream_store::read::ReadError;
use millstream_writer::WriteError;
use std::any::Any;
use std::error::Error;

const SEE_VALIDATION_ERRORS: &str = "Data validation failed. See 'validationErrors' and 'errors' for details.";
const FAILED: &str = "An unexpected problem occurred; it was logged under the correlation id.";
const NO_ITEM: &str = "The specified resource item could not be found.";

impl Problem {
    /// 404: no document has this id.
    pub(crate) fn no_such_item() -> Self {
        Self::new(ProblemKind::NotFound, NO_ITEM)
    }

    /// 404: no resource type has this address.
    pub(crate) fn no_such_endpoint() -> Self {
        Self::new(ProblemKind::NotFound, "The specified data could not be found.")
    }

    /// 405: the address supports other methods.
    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        Self::new(ProblemKind::MethodNotAllowed, format!("This address supports the methods {allow}."))
            .with_header(header::ALLOW, HeaderValue::from_static(allow))
    }

    /// 412: `If-Match` does not name the version of the document.
    pub(crate) fn another_version() -> Self {
        let detail = "The item was changed since it was read, or does not exist: read it again and repeat the change.";
        Self::new(ProblemKind::OptimisticLockFailed, detail)
    }

    /// 400: invalid values of query parameters.
    pub(crate) fn bad_parameters(errors: impl IntoIterator<Item = String>) -> Self {
        let detail = "Query parameters have invalid values. See 'errors' for details.";
        Self::new(ProblemKind::ParameterValidationFailed, detail).with_errors(errors)
    }

    /// 503 with `Retry-After`.
    pub(crate) fn unavailable(detail: &'static str) -> Self {
        Self::new(ProblemKind::ServiceUnavailable, detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// 500: a bug. `error` and its causes go to the log.
    pub(crate) fn defect(error: &(dyn Error + 'static)) -> Self {
        Self::new(ProblemKind::System, FAILED).because(chain(error))
    }

    /// 500: a handler panicked with this payload.
    pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Self {
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self::new(ProblemKind::System, FAILED).because(format!("panic: {}", message.unwrap_or("without a message")))
    }

    fn invalid(validation_errors: ValidationErrors, errors: Vec<String>) -> Self {
        Self::new(ProblemKind::DataValidationFailed, SEE_VALIDATION_ERRORS)
            .with_validation_errors(validation_errors)
            .with_errors(errors)
    }

    fn dependents(resources: &[String]) -> Self {
        let detail = format!(
            "The requested action cannot be performed because this item is referenced by existing {} item(s).",
            resources.join(", ")
        );
        Self::new(ProblemKind::DependentItemExists, detail)
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Malformed { errors } => Self::new(ProblemKind::BadRequest, SEE_ERRORS).with_errors(errors),
            WriteError::Invalid { validation_errors, errors } => Self::invalid(validation_errors, errors),
            WriteError::KeyChangeNotSupported { detail } => Self::new(ProblemKind::KeyChangeNotSupported, detail),
            WriteError::DescriptorNotFound { validation_errors } => Self::new(
                ProblemKind::BadRequest,
                "Items that the body references do not exist. See 'validationErrors'.",
            )
            .with_validation_errors(validation_errors),
            WriteError::UnresolvedReference { errors } => {
                Self::new(ProblemKind::UnresolvedReference, "Referenced items do not exist. See 'errors' for details.")
                    .with_errors(errors)
            }
            WriteError::IdentityConflict { detail } | WriteError::RenameRefused { detail } => {
                Self::new(ProblemKind::IdentityConflict, detail)
            }
            WriteError::DependentItemExists { resources } => Self::dependents(&resources),
            WriteError::NotFound => Self::no_such_item(),
            WriteError::PreconditionFailed => Self::another_version(),
            WriteError::IfNoneMatchFailed => {
                Self::new(ProblemKind::IfNoneMatchFailed, "The item exists at a version that 'If-None-Match' excludes.")
            }
            WriteError::Busy { attempts } => {
                Self::unavailable("Other requests kept changing the same items. Nothing was written; try again.")
                    .because(format!("gave up after {attempts} attempts"))
            }
            WriteError::QueueFull => Self::unavailable("Too many writes wait already. Nothing was written; try again."),
            WriteError::Unavailable(error) => error.into(),
            WriteError::OutcomeUnknown(error) => Self::unavailable(
                "The connection to the database broke at the commit. Whether the write was committed is unknown: repeat the \
                 request, or read the item first if it is sent with 'If-Match' or 'If-None-Match'.",
            )
            .because(chain(&error)),
            WriteError::Internal(error) => Self::defect(&*error),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Query(error) => error.into(),
            ReadError::Store(error) => error.into(),
            ReadError::Compose(error) => Self::defect(&error),
            ReadError::OverBudget(error) => Self::defect(&error),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let message = error.to_string();
        match error {
            QueryError::UnknownField { .. } | QueryError::NotSupported { .. } => {
                Self::new(ProblemKind::BadRequest, SEE_ERRORS).with_errors([message])
            }
            QueryError::BadValue { .. } | QueryError::BadPageToken | QueryError::PageTooLarge { .. } => {
                Self::bad_parameters([message])
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let problem = match error.kind() {
            ErrorKind::Connect | ErrorKind::ConnectionLost | ErrorKind::OutcomeUnknown => {
                Self::unavailable("The database cannot be reached at the moment. Try again.")
            }
            ErrorKind::LockTimeout => Self::unavailable(
                "Other requests kept the database from answering in time. Nothing was written; try again.",
            ),
            ErrorKind::Cancelled => Self::unavailable("The database did not answer in time. Try again."),
            ErrorKind::ReadOnly => {
                Self::unavailable("The database accepts no writes at the moment. Nothing was written; try again.")
            }
            ErrorKind::Resources => Self::unavailable(
                "The database lacks disk, memory or another resource. Nothing was written; try again.",
            ),
            ErrorKind::Schema { .. } => Self::new(
                ProblemKind::DatabaseNotProvisioned,
                "The database does not have the tables of the loaded schema. Its operator has to provision it.",
            ),
            _ => return Self::defect(&error),
        };
        problem.because(chain(&error))
    }
}
