//! Where a topic ends at this moment, for those who have to know how far it is to be read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_pipeline::Position;
use millstream_pipeline::source::SourceError;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::BaseConsumer;

use super::client::{self, Observer, Shared};
use super::open::{self, extent};
use super::options::KafkaSourceOptions;
use super::policy::{Verdict, judge};
use crate::kafka::client::hear;

/// Asks where a topic ends, as often as somebody wants to know. Clones share the connection.
#[derive(Clone)]
pub struct TopicEnd {
    options: Arc<KafkaSourceOptions>,
    shared: Arc<Shared>,
    asking: Arc<Mutex<Option<BaseConsumer<Observer>>>>,
}

impl TopicEnd {
    /// Asks about the topic of a source. It does nothing yet.
    ///
    /// # Errors
    /// When an option cannot be used; the message names all that cannot.
    pub fn new(options: KafkaSourceOptions) -> Result<Self, SourceError> {
        options.check()?;
        let shared = Arc::new(Shared::new(&options.topic, Position::ZERO));
        Ok(Self { options: Arc::new(options), shared, asking: Arc::default() })
    }

    /// The position of a reader who has everything that is in the topic now. A topic that does not exist is empty.
    ///
    /// # Errors
    /// [`SourceError::Refused`] if the brokers refuse or cannot be reached.
    pub async fn now(&self) -> Result<Position, SourceError> {
        let what = open::reading(&self.options);
        let own = self.clone();
        let asked = tokio::task::spawn_blocking(move || own.ask()).await;
        match asked {
            Ok(Ok(position)) => Ok(position),
            Ok(Err(Verdict::Stop(error))) => Err(error),
            Ok(Err(Verdict::Retry(detail))) => Err(SourceError::Refused { what, detail }),
            Err(error) => Err(SourceError::Refused { what, detail: error.to_string() }),
        }
    }

    /// Blocks. A client that got no answer is replaced for the next question.
    fn ask(&self) -> Result<Position, Verdict> {
        // Nothing panics while it holds the lock.
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let consumer = match asking.take() {
            Some(consumer) => consumer,
            None => {
                BaseConsumer::from_config_and_context(&client::asker(&self.options), Observer(Arc::clone(&self.shared)))
                    .map_err(|error| judge(&open::reading(&self.options), &error))?
            }
        };
        match extent(&consumer, &self.options) {
            Ok(found) => {
                *asking = Some(consumer);
                Ok(found.map_or(Position::ZERO, |extent| Position::before(extent.end.sum())))
            }
            Err(verdict) => {
                hear(|| drop(consumer.poll(Duration::ZERO)));
                client::close(consumer);
                Err(open::explain(verdict, &self.shared))
            }
        }
    }
}

impl std::fmt::Debug for TopicEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicEnd").field("options", &self.options).finish_non_exhaustive()
    }
}
