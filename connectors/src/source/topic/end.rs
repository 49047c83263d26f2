//! The present end of a topic: as a position to reach ([`TopicEnd`]), and as a start without a stored position
//! ([`start_at_end`]).

use std::sync::Arc;
use std::time::Duration;

use millstream_pipeline::Position;
use millstream_pipeline::source::SourceError;
use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};

use super::client::{self, ReaderContext, ReaderState};
use super::errors::classify;
use super::open::{self, consumer, extent, reading};
use super::options::KafkaSourceOptions;
use crate::kafka::client::poll_errors;
use crate::source::failure::SourceFailure;

/// Reads the end of a topic on demand. Clones share the connection.
#[derive(Clone)]
pub struct TopicEnd {
    options: Arc<KafkaSourceOptions>,
    state: Arc<ReaderState>,
    client: Arc<Mutex<Option<BaseConsumer<ReaderContext>>>>,
}

impl TopicEnd {
    /// Creates a handle for the topic of a source. It connects with the first call of [`Self::now`].
    ///
    /// # Errors
    /// An option is invalid; the message lists all that are.
    pub fn new(options: KafkaSourceOptions) -> Result<Self, SourceError> {
        options.check()?;
        let state = Arc::new(ReaderState::new(&options.topic, Position::ZERO));
        Ok(Self { options: Arc::new(options), state, client: Arc::default() })
    }

    /// Returns the position of a reader that has read the whole topic. A topic that does not exist is empty.
    ///
    /// # Errors
    /// [`SourceError::Refused`] if the brokers refuse or cannot be reached.
    pub async fn now(&self) -> Result<Position, SourceError> {
        let what = reading(&self.options);
        let own = self.clone();
        match tokio::task::spawn_blocking(move || own.fetch()).await {
            Ok(fetched) => fetched.map_err(|failure| failure.into_error(&what)),
            Err(error) => Err(SourceError::Refused { what, detail: error.to_string() }),
        }
    }

    /// Blocks. A client whose request failed is closed; the next call creates another.
    fn fetch(&self) -> Result<Position, SourceFailure> {
        let mut client = self.client.lock();
        let consumer = match client.take() {
            Some(consumer) => consumer,
            None => {
                let context = ReaderContext(Arc::clone(&self.state));
                BaseConsumer::from_config_and_context(&client::watermark_reader(&self.options), context)
                    .map_err(|error| classify(&reading(&self.options), &error))?
            }
        };
        match extent(&consumer, &self.options) {
            Ok(found) => {
                *client = Some(consumer);
                Ok(found.map_or(Position::ZERO, |extent| Position::before(extent.end.sum())))
            }
            Err(failure) => {
                poll_errors(|| drop(consumer.poll(Duration::ZERO)));
                client::close(consumer);
                Err(open::explain(failure, &self.state))
            }
        }
    }
}

impl std::fmt::Debug for TopicEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicEnd").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Commits the present end of the topic as the group's offsets, and returns the position to start from. Every change
/// that the database commits from now on comes after it, because it is not in the topic yet. Earlier changes are found
/// by a comparison of all documents. A topic that does not exist yet is empty.
///
/// # Errors
/// [`SourceError::Refused`] if the options are invalid, or the brokers refuse or cannot be reached.
pub async fn start_at_end(options: &KafkaSourceOptions) -> Result<Position, SourceError> {
    options.check()?;
    let what = reading(options);
    let own = options.clone();
    match tokio::task::spawn_blocking(move || commit_end(&own)).await {
        Ok(committed) => committed.map_err(|failure| failure.into_error(&what)),
        Err(error) => Err(SourceError::Refused { what, detail: error.to_string() }),
    }
}

fn commit_end(options: &KafkaSourceOptions) -> Result<Position, SourceFailure> {
    let consumer = consumer(options, Arc::new(ReaderState::new(&options.topic, Position::ZERO)))?;
    let Some(extent) = extent(&consumer, options)? else { return Ok(Position::ZERO) };
    let list = client::list(&options.topic, &extent.end);
    let committed = list.and_then(|list| consumer.commit(&list, CommitMode::Sync));
    committed.map_err(|error| classify(&format!("committing offsets for group {}", options.group), &error))?;
    Ok(Position::before(extent.end.sum()))
}
