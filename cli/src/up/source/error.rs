//! Conversion of failures into errors of a change source.

use crate::failure::Failure;
use millstream_pipeline::source::SourceError;
use std::error::Error;

/// For `map_err`: a failure of `what`, which the caller retries after a pause.
pub(super) fn refused<E: Into<Box<dyn Error + Send + Sync>>>(what: &'static str) -> impl FnOnce(E) -> SourceError {
    move |error| SourceError::Refused { what: what.to_owned(), detail: Failure::failed(error).to_string() }
}
