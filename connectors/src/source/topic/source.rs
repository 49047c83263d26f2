//! The source: reads the topic and returns events.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use millstream_pipeline::source::{ChangeBatch, ChangeSource, SourceError, SourceEvent, SourceStatus};
use millstream_pipeline::{Attempts, Backoff, Change, Position};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use tokio::time::{Instant, sleep_until, timeout};

use super::client::{self, ReaderState};
use super::errors::classify;
use super::form::{TopicRecord, UndecodableRecord};
use super::open::{self, TopicReader};
use super::options::KafkaSourceOptions;
use crate::source::failure::SourceFailure;

/// Maximum time that a shutdown waits for the last confirmation to be committed.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Duration of one poll for callbacks during a shutdown.
const CALLBACK_POLL: Duration = Duration::from_millis(20);

/// A source that reads a topic.
pub struct KafkaSource {
    options: Arc<KafkaSourceOptions>,
    state: Arc<ReaderState>,
    stored: Position,
    opening: Option<BoxFuture<'static, Result<TopicReader, SourceFailure>>>,
    reader: Option<TopicReader>,
    backoff: Attempts,
    next_try: Instant,
    next_idle: Instant,
    /// Changes received and not yet returned.
    pending: Vec<Change>,
    /// Whether the reader is ahead of the last event.
    moved: bool,
    /// The error to return after all pending changes.
    failed: Option<SourceError>,
    stopped: bool,
}

/// The result of one poll of the consumer.
enum Received {
    Record {
        partition: i32,
        offset: i64,
        change: Result<Option<Change>, UndecodableRecord>,
    },
    Error(KafkaError),
    /// An idle event is due.
    Idle,
    /// The topic has more partitions.
    Grown,
    /// No record is available right now.
    Nothing,
}

impl KafkaSource {
    /// Creates a source that continues after `stored`, the durable position of this process. It connects with the first
    /// call of [`ChangeSource::next`], which returns errors of the brokers and the topic.
    ///
    /// The source cannot check that the records belong to the database of the position: a topic must contain one
    /// history of one database.
    ///
    /// # Errors
    /// An option is invalid; the message lists all that are.
    pub fn start(options: KafkaSourceOptions, stored: Position) -> Result<Self, SourceError> {
        options.check()?;
        let now = Instant::now();
        Ok(Self {
            state: Arc::new(ReaderState::new(&options.topic, stored)),
            options: Arc::new(options),
            stored,
            opening: None,
            reader: None,
            backoff: Backoff::RECONNECT.attempts(),
            next_try: now,
            next_idle: now,
            pending: Vec::new(),
            moved: false,
            failed: None,
            stopped: false,
        })
    }

    /// Reads until there is an event. Cancel safe: received changes and offsets are kept in `self` across awaits.
    async fn read_until_event(&mut self) -> Result<SourceEvent, SourceError> {
        loop {
            if self.pending.len() >= self.options.batch_max || (self.failed.is_some() && !self.pending.is_empty()) {
                return self.event();
            }
            if let Some(error) = self.failed.take() {
                self.stopped = true;
                self.state.set_disconnected(error.to_string());
                return Err(error);
            }
            if self.stopped {
                return Err(SourceError::Stopped);
            }
            if self.reader.is_none() {
                self.open().await;
                continue;
            }
            match self.receive().await {
                Received::Record { partition, offset, change } => self.take(partition, offset, change),
                Received::Error(error) => match classify(&open::reading(&self.options), &error) {
                    // librdkafka retries by itself.
                    SourceFailure::Retry(reason) => self.state.status().last_error = Some(reason),
                    SourceFailure::Stop(error) => self.failed = Some(error),
                },
                Received::Grown => self.add_partitions(),
                Received::Idle | Received::Nothing => return self.event(),
            }
        }
    }

    async fn open(&mut self) {
        if self.opening.is_none() {
            sleep_until(self.next_try).await;
            let opening = open::open(Arc::clone(&self.options), Arc::clone(&self.state), self.stored);
            self.opening = Some(opening.boxed());
        }
        let Some(opening) = &mut self.opening else { return };
        let opened = opening.await;
        self.opening = None;
        match opened {
            Ok(opened) => {
                tracing::info!(topic = self.options.topic, next = ?opened.next, "reading change records");
                self.reader = Some(opened);
                self.backoff = Backoff::RECONNECT.attempts();
                self.state.opened();
            }
            Err(SourceFailure::Stop(error)) => self.failed = Some(error),
            Err(SourceFailure::Retry(reason)) => {
                let pause = self.backoff.fail();
                self.next_try = Instant::now() + pause;
                tracing::warn!(%reason, ?pause, "failed to open the topic of change records; retrying");
                let mut status = self.state.status();
                (status.connected, status.last_error) = (false, Some(reason));
                status.reconnects += 1;
            }
        }
    }

    /// Polls the consumer. With pending changes it takes only records that are already available; otherwise it waits.
    async fn receive(&mut self) -> Received {
        let Some(TopicReader { consumer, .. }) = &self.reader else { return Received::Nothing };
        let received = if !self.pending.is_empty() {
            match consumer.recv().now_or_never() {
                Some(received) => received,
                None => return Received::Nothing,
            }
        } else {
            tokio::select! {
                biased;
                () = self.state.grown.notified() => return Received::Grown,
                received = consumer.recv() => received,
                () = sleep_until(self.next_idle), if self.moved => return Received::Idle,
            }
        };
        match received {
            Ok(message) => Received::Record {
                partition: message.partition(),
                offset: message.offset(),
                change: self.options.form.decode(&record(&message)),
            },
            Err(error) => Received::Error(error),
        }
    }

    fn take(&mut self, partition: i32, offset: i64, change: Result<Option<Change>, UndecodableRecord>) {
        let Some(TopicReader { next, .. }) = &mut self.reader else { return };
        // A record received before the reassignment.
        if next.get(partition).is_some_and(|next| offset < next) {
            return;
        }
        match change {
            Ok(change) => {
                self.pending.extend(change);
                next.set(partition, offset + 1);
                self.moved = true;
            }
            Err(reason) => {
                let KafkaSourceOptions { topic, form, .. } = &*self.options;
                self.failed = Some(SourceError::Unreadable(format!(
                    "record {offset} of partition {partition} of topic {topic}, read as {form}: {reason}"
                )));
            }
        }
    }

    /// Adds new partitions from their first record.
    fn add_partitions(&mut self) {
        let Some(TopicReader { consumer, next }) = &mut self.reader else { return };
        let known = next.len();
        for (partition, _) in self.state.ends().iter() {
            if next.get(partition).is_none() {
                next.set(partition, 0);
            }
        }
        if next.len() == known {
            return;
        }
        tracing::info!(topic = self.options.topic, partitions = next.len(), "the topic has new partitions");
        match open::assign(consumer, &self.options, next) {
            Ok(()) => {}
            Err(failure) => self.failed = Some(failure.into_error(&open::reading(&self.options))),
        }
    }

    /// Returns everything received as one event.
    fn event(&mut self) -> Result<SourceEvent, SourceError> {
        let Some(TopicReader { next, .. }) = &self.reader else { return Err(SourceError::Stopped) };
        let position = self.state.ledger().deliver(next);
        let server_position = self.state.server_position(next).max(position);
        {
            let mut status = self.state.status();
            (status.connected, status.last_error) = (true, None);
            (status.delivered, status.server_position) = (position, server_position);
        }
        self.moved = false;
        self.next_idle = Instant::now() + self.options.idle_interval;
        let changes = std::mem::take(&mut self.pending);
        if changes.is_empty() {
            return Ok(SourceEvent::Idle { position });
        }
        Ok(SourceEvent::Changes(ChangeBatch { changes, position }))
    }

    /// Commits the confirmed offsets that are not known to be committed, and closes the consumer.
    async fn finish(mut self) -> Result<(), SourceError> {
        let Some(TopicReader { consumer, .. }) = self.reader.take() else { return Ok(()) };
        let last = self.state.ledger().last_confirmed().cloned();
        if let Some(offsets) = last {
            let list = client::list(&self.options.topic, &offsets);
            let sent = list.and_then(|list| consumer.commit(&list, CommitMode::Async));
            let committed = async {
                while self.state.ledger().last_confirmed().is_some() {
                    // Polling runs the commit callback. Received records do not count as read.
                    drop(timeout(CALLBACK_POLL, consumer.recv()).await);
                }
            };
            if sent.is_err() || timeout(COMMIT_TIMEOUT, committed).await.is_err() {
                tracing::warn!("failed to commit the last offsets: records after the previous commit are read again");
            }
        }
        client::close(consumer);
        Ok(())
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        if let Some(TopicReader { consumer, .. }) = self.reader.take() {
            client::close(consumer);
        }
    }
}

fn record<'a>(message: &'a BorrowedMessage<'_>) -> TopicRecord<'a> {
    let headers = message.headers().into_iter().flat_map(Headers::iter).map(|header| (header.key, header.value));
    TopicRecord { value: message.payload(), headers: headers.collect() }
}

impl ChangeSource for KafkaSource {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, SourceError>> {
        self.read_until_event().boxed()
    }

    fn confirm(&self, position: Position) {
        let confirmed = self.state.ledger().confirm(position);
        let (Some(offsets), Some(TopicReader { consumer, .. })) = (confirmed, &self.reader) else { return };
        let stored = client::list(&self.options.topic, &offsets).and_then(|list| consumer.store_offsets(&list));
        if let Err(error) = stored {
            tracing::warn!(%error, "failed to store offsets; retrying with the next confirmation");
        }
    }

    fn status(&self) -> SourceStatus {
        self.state.status().clone()
    }

    fn shutdown(self: Box<Self>) -> BoxFuture<'static, Result<(), SourceError>> {
        self.finish().boxed()
    }
}

impl std::fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSource")
            .field("options", &self.options)
            .field("stored", &self.stored)
            .finish_non_exhaustive()
    }
}
