//! `millstream load`: posts JSON Lines through the API and accounts for every line.
//!
//! One task reads ([`source`]), one dispatches with a fixed number of requests in flight ([`dispatch`]), each request is
//! repeated while the server is away ([`post`]), and every line ends up in the [`Account`]. Memory is bounded for a file
//! of any size: lines wait in a short channel, and a bounded number of them is in flight or put off.
//!
//! Lines are posted side by side, so a line may arrive before one that it refers to. A refusal that may come from that
//! (400, 409) is put off until everything before the line was answered, and only then believed. Two versions of the same
//! document in one file may overtake each other: load such a file with one connection.

mod account;
mod dispatch;
mod line;
mod post;
mod progress;
mod refused;
mod source;

pub(crate) use account::grouped;
pub use account::{Account, Refusal};
pub use post::Patience;
pub use progress::Progress;
pub use refused::RefusedFile;
pub(crate) use source::Lines;
pub use source::{Input, SourceError};

use crate::load::{dispatch::Dispatcher, post::Poster};
use std::{path::PathBuf, time::Duration};
use tokio_util::sync::CancellationToken;

/// What to load, and how.
#[derive(Debug)]
pub struct LoadPlan {
    /// The inputs, read one after the other.
    pub inputs: Vec<Input>,
    /// Address of the API.
    pub url: reqwest::Url,
    /// Requests in flight.
    pub connections: usize,
    /// How long a server that is away is waited for.
    pub patience: Patience,
    /// Where every refused line goes.
    pub refused: Option<PathBuf>,
    /// Stop after so many lines of each input.
    pub lines_max: Option<usize>,
}

/// Why a load could not be carried through. Refusals are no reason: they are in the [`Account`].
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// An input cannot be read, at all or any further.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The server did not answer for as long as it was waited for.
    #[error("gave up at {at} after {waited_s} s without an answer from {url}: {reason}")]
    Unreachable {
        /// The line that waited.
        at: String,
        /// The address.
        url: String,
        /// How long, in seconds.
        waited_s: u64,
        /// The last failure.
        reason: String,
    },
    /// The file for refused lines cannot be written.
    #[error("cannot write the refused lines to {}", file.display())]
    Refused {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// No HTTP client could be made.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// How a load ended: the account of what was answered, and what stopped it if it did not reach the end.
#[derive(Debug)]
pub struct Loaded {
    /// Every answered line.
    pub account: Account,
    /// Why not all lines were posted.
    pub stopped: Option<LoadError>,
    /// Whether somebody asked it to stop.
    pub interrupted: bool,
}

impl Loaded {
    /// Whether every line of every input was accepted.
    pub fn is_complete(&self) -> bool {
        self.stopped.is_none() && !self.interrupted && self.account.refused() == 0
    }
}

/// Loads all inputs. Ends early when `stop` is cancelled: what is in flight is still answered and accounted for.
pub async fn load(plan: LoadPlan, progress: &Progress, stop: CancellationToken) -> Result<Loaded, LoadError> {
    let refused = plan.refused.map(RefusedFile::create).transpose()?;
    let poster = Poster::new(plan.url, plan.connections, plan.patience).map_err(LoadError::Client)?;
    let (reader, lines) = source::start(plan.inputs, plan.lines_max, progress.ahead());
    let mut dispatcher = Dispatcher::new(poster, plan.connections, refused, progress);
    let outcome = dispatcher.run(lines, &stop).await;
    let account = dispatcher.into_account()?;
    // The reader ends by itself: its channel is closed by now.
    let read = reader.await.unwrap_or_else(|error| Err(SourceError::interrupted(error)));
    let stopped = outcome.err().or_else(|| read.err().map(LoadError::Source));
    progress.finish();
    Ok(Loaded { account, stopped, interrupted: stop.is_cancelled() })
}

/// How long the account says something took, never zero.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64().max(0.001)
}
