//! `X-Millstream-Min-Version: V`: the response shows everything up to version V, or is an error.
//!
//! Reads of `/data` are always current, so the version only has to exist. A search waits until its copy has reached the
//! version and answers 503 with `Retry-After` when that takes too long.

use crate::copy_wait::{ReadCopy, WaitError, Waited};
use crate::problem::{Problem, ProblemKind, SEE_ERRORS};
use crate::state::ApiState;
use axum::http::{HeaderMap, HeaderName};
use std::time::Duration;

const MIN_VERSION: HeaderName = HeaderName::from_static("x-millstream-min-version");

/// Refuses a version that no document has had.
pub(crate) async fn check_min_version(api: &ApiState, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(version) = min_version(headers)? else { return Ok(()) };
    // Reads of the source never lag, so without a `CopyWait` there is nothing to check.
    let Some(copies) = &api.extras.copies else { return Ok(()) };
    settle(copies.wait(ReadCopy::Source, version, Duration::ZERO).await)
}

/// Waits until a search shows the version that the request names, if it names one.
pub(crate) async fn wait_for_search(api: &ApiState, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(version) = min_version(headers)? else { return Ok(()) };
    let Some(copies) = &api.extras.copies else {
        let detail = "This server does not know the progress of its search: ask without 'X-Millstream-Min-Version'.";
        return Err(Problem::new(ProblemKind::BadRequest, detail));
    };
    settle(copies.wait(ReadCopy::Search, version, api.options.min_version_wait).await)
}

fn settle(waited: Result<Waited, WaitError>) -> Result<(), Problem> {
    match waited {
        Ok(Waited::Reached) => Ok(()),
        Ok(Waited::Behind) => {
            let detail = "The search does not show the version of 'X-Millstream-Min-Version' yet. Try again.";
            Err(Problem::unavailable(detail))
        }
        Ok(Waited::NeverGiven) => Err(refused("no document ever had this version")),
        Err(error) => Err(Problem::unavailable("The progress of the search is unknown at the moment. Try again.")
            .because(error.to_string())),
    }
}

/// Reads the header: one positive number.
fn min_version(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let mut values = headers.get_all(MIN_VERSION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let digits = value.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|text| text.parse().ok()) {
        Some(version) if version > 0 && values.next().is_none() => Ok(Some(version)),
        _ => Err(refused("one positive whole number is expected, the number of an 'ETag'")),
    }
}

fn refused(why: &str) -> Problem {
    let message = format!("The value of the header 'X-Millstream-Min-Version' is not valid: {why}.");
    Problem::new(ProblemKind::BadRequest, SEE_ERRORS).with_errors([message])
}
