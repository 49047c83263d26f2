//! The source as its consumer holds it.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use millstream_pipeline::source::{ChangeBatch, ChangeSource, SourceError, SourceEvent, SourceStatus};
use millstream_pipeline::{Change, Position};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use tokio::time::{Instant, sleep_until, timeout};

use super::client::{self, Shared};
use super::form::Record;
use super::open::{self, Opened};
use super::options::KafkaSourceOptions;
use super::policy::{Verdict, judge};
use millstream_pipeline::{Attempts, Backoff};

/// How long a shutdown waits for the last confirmation to be committed.
const LAST_WORDS: Duration = Duration::from_secs(5);
const LISTEN: Duration = Duration::from_millis(20);

/// A source that reads a topic.
pub struct KafkaSource {
    options: Arc<KafkaSourceOptions>,
    shared: Arc<Shared>,
    stored: Position,
    opening: Option<BoxFuture<'static, Result<Opened, Verdict>>>,
    reader: Option<Opened>,
    backoff: Attempts,
    next_try: Instant,
    next_idle: Instant,
    /// Received and not handed out.
    gathered: Vec<Change>,
    /// The reader is further than what was handed out.
    moved: bool,
    /// What comes out once everything before it has.
    failed: Option<SourceError>,
    stopped: bool,
}

/// What came of one look at the consumer.
enum Received {
    Record {
        partition: i32,
        offset: i64,
        change: Result<Option<Change>, String>,
    },
    Error(KafkaError),
    /// It is time to say how far the topic was read.
    Idle,
    /// There are more partitions.
    Grown,
    /// Nothing more is there right now.
    Nothing,
}

impl KafkaSource {
    /// A source that goes on from `stored`, the position that is durable here. It does nothing until
    /// [`ChangeSource::next`] is called; what is wrong with the brokers or the topic comes out there.
    ///
    /// Whether the records are of the database that the position belongs to, it cannot tell: a topic has to be of one
    /// history of one database.
    ///
    /// # Errors
    /// When an option cannot be used; the message names all that cannot.
    pub fn start(options: KafkaSourceOptions, stored: Position) -> Result<Self, SourceError> {
        options.check()?;
        let now = Instant::now();
        Ok(Self {
            shared: Arc::new(Shared::new(&options.topic, stored)),
            options: Arc::new(options),
            stored,
            opening: None,
            reader: None,
            backoff: Backoff::RECONNECT.attempts(),
            next_try: now,
            next_idle: now,
            gathered: Vec::new(),
            moved: false,
            failed: None,
            stopped: false,
        })
    }

    /// Only state that survives being dropped at an await is changed before the event is complete.
    async fn read_until_event(&mut self) -> Result<SourceEvent, SourceError> {
        loop {
            if self.gathered.len() >= self.options.batch_max || (self.failed.is_some() && !self.gathered.is_empty()) {
                return self.event();
            }
            if let Some(error) = self.failed.take() {
                self.stopped = true;
                self.shared.unreachable(error.to_string());
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
                Received::Error(error) => match judge(&open::reading(&self.options), &error) {
                    // librdkafka goes on by itself.
                    Verdict::Retry(reason) => self.shared.status().last_error = Some(reason),
                    Verdict::Stop(error) => self.failed = Some(error),
                },
                Received::Grown => self.take_in_new_partitions(),
                Received::Idle | Received::Nothing => return self.event(),
            }
        }
    }

    async fn open(&mut self) {
        if self.opening.is_none() {
            sleep_until(self.next_try).await;
            let opening = open::open(Arc::clone(&self.options), Arc::clone(&self.shared), self.stored);
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
                self.shared.opened();
            }
            Err(Verdict::Stop(error)) => self.failed = Some(error),
            Err(Verdict::Retry(reason)) => {
                let pause = self.backoff.fail();
                self.next_try = Instant::now() + pause;
                tracing::warn!(%reason, ?pause, "change records cannot be read yet; trying again");
                let mut status = self.shared.status();
                (status.connected, status.last_error) = (false, Some(reason));
                status.reconnects += 1;
            }
        }
    }

    /// With changes at hand only what is there already is taken; without, it is waited for.
    async fn receive(&mut self) -> Received {
        let Some(Opened { consumer, .. }) = &self.reader else { return Received::Nothing };
        let received = if !self.gathered.is_empty() {
            match consumer.recv().now_or_never() {
                Some(received) => received,
                None => return Received::Nothing,
            }
        } else {
            tokio::select! {
                biased;
                () = self.shared.grown.notified() => return Received::Grown,
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

    fn take(&mut self, partition: i32, offset: i64, change: Result<Option<Change>, String>) {
        let Some(Opened { next, .. }) = &mut self.reader else { return };
        // From before partitions were taken in.
        if next.get(partition).is_some_and(|next| offset < next) {
            return;
        }
        match change {
            Ok(change) => {
                self.gathered.extend(change);
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

    /// A partition that was added has nothing but new records.
    fn take_in_new_partitions(&mut self) {
        let Some(Opened { consumer, next }) = &mut self.reader else { return };
        let known = next.len();
        for (partition, _) in self.shared.ends().iter() {
            if next.get(partition).is_none() {
                next.set(partition, 0);
            }
        }
        if next.len() == known {
            return;
        }
        tracing::info!(topic = self.options.topic, partitions = next.len(), "the topic has more partitions now");
        match open::assign(consumer, &self.options, next) {
            Ok(()) => {}
            Err(Verdict::Stop(error)) => self.failed = Some(error),
            Err(Verdict::Retry(reason)) => {
                self.failed = Some(SourceError::Refused { what: open::reading(&self.options), detail: reason })
            }
        }
    }

    /// Everything that was read, as one event.
    fn event(&mut self) -> Result<SourceEvent, SourceError> {
        let Some(Opened { next, .. }) = &self.reader else { return Err(SourceError::Stopped) };
        let position = self.shared.ledger().hand_out(next);
        let server_position = self.shared.server_position(next).max(position);
        {
            let mut status = self.shared.status();
            (status.connected, status.last_error) = (true, None);
            (status.delivered, status.server_position) = (position, server_position);
        }
        self.moved = false;
        self.next_idle = Instant::now() + self.options.idle_interval;
        let changes = std::mem::take(&mut self.gathered);
        if changes.is_empty() {
            return Ok(SourceEvent::Idle { position });
        }
        Ok(SourceEvent::Changes(ChangeBatch { changes, position }))
    }

    /// Commits what was confirmed and is not known to be committed.
    async fn finish(mut self) -> Result<(), SourceError> {
        let Some(Opened { consumer, .. }) = self.reader.take() else { return Ok(()) };
        let last = self.shared.ledger().last_confirmed().cloned();
        if let Some(offsets) = last {
            let list = client::list(&self.options.topic, &offsets);
            let sent = list.and_then(|list| consumer.commit(&list, CommitMode::Async));
            let heard = async {
                while self.shared.ledger().last_confirmed().is_some() {
                    // Reports are heard by the way. Records that come are not counted as read.
                    drop(timeout(LISTEN, consumer.recv()).await);
                }
            };
            if sent.is_err() || timeout(LAST_WORDS, heard).await.is_err() {
                tracing::warn!("the last offsets could not be committed: what follows those before comes again");
            }
        }
        client::close(consumer);
        Ok(())
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        if let Some(Opened { consumer, .. }) = self.reader.take() {
            client::close(consumer);
        }
    }
}

fn record<'a>(message: &'a BorrowedMessage<'_>) -> Record<'a> {
    let headers = message.headers().into_iter().flat_map(Headers::iter).map(|header| (header.key, header.value));
    Record { value: message.payload(), headers: headers.collect() }
}

impl ChangeSource for KafkaSource {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, SourceError>> {
        self.read_until_event().boxed()
    }

    fn confirm(&self, position: Position) {
        let confirmed = self.shared.ledger().confirm(position);
        let (Some(offsets), Some(Opened { consumer, .. })) = (confirmed, &self.reader) else { return };
        let stored = client::list(&self.options.topic, &offsets).and_then(|list| consumer.store_offsets(&list));
        if let Err(error) = stored {
            tracing::warn!(%error, "offsets could not be noted; they are with the next confirmation");
        }
    }

    fn status(&self) -> SourceStatus {
        self.shared.status().clone()
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
