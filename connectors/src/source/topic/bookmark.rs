//! Beginning anew: a bookmark at the present end of the topic.

use std::sync::Arc;

use millstream_pipeline::Position;
use millstream_pipeline::source::SourceError;
use rdkafka::consumer::{CommitMode, Consumer};

use super::client::{self, Shared};
use super::open::{consumer, extent, reading};
use super::options::KafkaSourceOptions;
use super::policy::{Verdict, judge};

/// Puts the group at the end of the topic as it is now, and answers the position to start from. Every change that is
/// committed in the database from now on comes after it: it is not in the topic yet. What came before is for a comparison
/// of all documents to find. A topic that does not exist yet is empty.
///
/// # Errors
/// [`SourceError::Refused`] if the options are not right, or the brokers refuse or cannot be reached.
pub async fn begin_anew(options: &KafkaSourceOptions) -> Result<Position, SourceError> {
    options.check()?;
    let what = reading(options);
    let own = options.clone();
    let asked = tokio::task::spawn_blocking(move || mark(&own)).await;
    let stopped = |detail| SourceError::Refused { what: what.clone(), detail };
    match asked {
        Ok(Ok(position)) => Ok(position),
        Ok(Err(Verdict::Stop(error))) => Err(error),
        Ok(Err(Verdict::Retry(reason))) => Err(stopped(reason)),
        Err(error) => Err(stopped(error.to_string())),
    }
}

fn mark(options: &KafkaSourceOptions) -> Result<Position, Verdict> {
    let consumer = consumer(options, Arc::new(Shared::new(&options.topic, Position::ZERO)))?;
    let Some(extent) = extent(&consumer, options)? else { return Ok(Position::ZERO) };
    let list = client::list(&options.topic, &extent.end);
    let committed = list.and_then(|list| consumer.commit(&list, CommitMode::Sync));
    committed.map_err(|error| judge(&format!("committing offsets for group {}", options.group), &error))?;
    Ok(Position::before(extent.end.sum()))
}
