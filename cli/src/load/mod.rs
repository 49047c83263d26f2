//! Loads: post JSON Lines through the API and account for every line.
//!
//! One task reads ([`source`]), one dispatches a fixed number of requests at a time ([`dispatch`]), each request is retried
//! while its answer is a passing failure ([`post`]), and every line is counted in the [`Account`]. Memory is bounded for a file of
//! any size: lines wait in a short channel, and a bounded number of them is in flight or postponed.
//!
//! Lines are posted concurrently, so a line may arrive before one that it refers to. A line refused with 400 or 409 is
//! postponed until every earlier line has a result, and posted once more; that result is final. Failures of the server or of
//! the connection say nothing about a line: they are waited for, and counted beside the refusals. Two versions of the same
//! document in one file may overtake each other: load such a file with one connection.

mod account;
mod dispatch;
mod error;
mod line;
mod post;
mod progress;
mod refused;
mod source;

pub use account::{Account, RefusedLines};
pub use error::LoadError;
pub use post::{PassingFailure, RetryLimit};
pub use progress::Progress;
pub use refused::RefusedFile;
pub(crate) use source::Lines;
pub use source::{Input, SourceError};

use dispatch::Dispatcher;
use post::Poster;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// The inputs and options of a load.
#[derive(Debug)]
pub struct LoadPlan {
    /// The inputs, read one after the other.
    pub inputs: Vec<Input>,
    /// Address of the API.
    pub url: reqwest::Url,
    /// Requests in flight.
    pub connections: usize,
    /// Longest wait of one line for a final answer.
    pub retry_limit: RetryLimit,
    /// File for refused lines.
    pub refused: Option<PathBuf>,
    /// Lines of each input at most.
    pub lines_max: Option<usize>,
}

/// The result of a load: the account, and the error that ended it early.
#[derive(Debug)]
pub struct Loaded {
    /// The results of all lines.
    pub account: Account,
    /// The error that ended the load.
    pub stopped: Option<LoadError>,
    /// Whether it was interrupted.
    pub interrupted: bool,
}

impl Loaded {
    /// Whether every line of every input was accepted.
    pub fn is_complete(&self) -> bool {
        self.stopped.is_none() && !self.interrupted && self.account.refused() == 0
    }
}

/// Loads all inputs. Ends early when `stop` is cancelled, after the requests in flight have their results.
pub async fn load(plan: LoadPlan, progress: &Progress, stop: CancellationToken) -> Result<Loaded, LoadError> {
    let refused = plan.refused.map(RefusedFile::create).transpose()?;
    let poster = Poster::new(plan.url, plan.connections, plan.retry_limit, stop.clone()).map_err(LoadError::Client)?;
    let (reader, lines) = source::start(plan.inputs, plan.lines_max, progress.ahead());
    let mut dispatcher = Dispatcher::new(poster, plan.connections, refused, progress);
    let outcome = dispatcher.run(lines, &stop).await;
    let account = dispatcher.into_account()?;
    // The reader has ended, or ends now because its channel is closed.
    let read = reader.await.unwrap_or_else(|error| Err(SourceError::interrupted(error)));
    let stopped = outcome.err().or_else(|| read.err().map(LoadError::Source));
    progress.finish();
    Ok(Loaded { account, stopped, interrupted: stop.is_cancelled() })
}
