//! `X-Millstream-Min-Version: V`: an answer that shows everything up to that version, or none.
//!
//! Reads of `/data` always do: there a version only has to be one that was given out. A search waits until its copy has
//! come so far, and says 503 with `Retry-After` when that takes too long.

use crate::problem::{Problem, ProblemKind, SEE_ERRORS};
use crate::routes::Shared;
use axum::http::{HeaderMap, HeaderName};
use futures::future::BoxFuture;
use std::time::Duration;

const MIN_VERSION: HeaderName = HeaderName::from_static("x-millstream-min-version");

/// What a request reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadCopy {
    /// The documents themselves: always current.
    Source,
    /// The copy that searches are answered from.
    Search,
}

/// Knows how far copies are.
pub trait CopyWait: Send + Sync + 'static {
    /// Waits until a read of the copy shows everything up to this version, at most so long. For [`ReadCopy::Source`] it
    /// answers at once.
    fn wait(&self, copy: ReadCopy, version: i64, time_max: Duration) -> BoxFuture<'_, Result<Waited, WaitError>>;
}

/// How waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The copy shows the version.
    Reached,
    /// The copy did not come so far in time.
    Behind,
    /// No document was ever given such a version.
    NeverGiven,
}

/// How far the copy is cannot be told now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("how far the copy is cannot be told: {reason}")]
pub struct WaitError {
    /// What happened, for the log.
    pub reason: String,
}

/// Refuses a version that a read of the documents themselves cannot have been told.
pub(crate) async fn check_min_version(api: &Shared, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(version) = min_version(headers)? else { return Ok(()) };
    // Without anybody to ask there is nothing to wait for: such a read is never behind.
    let Some(copies) = &api.extras.copies else { return Ok(()) };
    settle(copies.wait(ReadCopy::Source, version, Duration::ZERO).await)
}

/// Waits until a search shows the version that the request names, if it names one.
pub(super) async fn wait_for_search(api: &Shared, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(version) = min_version(headers)? else { return Ok(()) };
    let Some(copies) = &api.extras.copies else {
        let detail = "This server cannot tell how far its search is: ask without 'X-Millstream-Min-Version'.";
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
        Ok(Waited::NeverGiven) => Err(refused("no document was ever given this version")),
        Err(error) => {
            Err(Problem::unavailable("How far the search is cannot be told now. Try again.").because(error.to_string()))
        }
    }
}

/// The version that a request names: a positive number, once.
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
