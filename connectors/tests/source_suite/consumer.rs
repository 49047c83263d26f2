//! A consumer with a deadline.

use std::time::Duration;

use millstream_pipeline::source::{ChangeSource, SourceError, SourceEvent};
use millstream_pipeline::{Change, Position};

/// How long a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Reads a source as its consumer would, and checks what every event has to keep.
pub(crate) struct Consumer {
    pub(crate) source: Box<dyn ChangeSource>,
    pub(crate) changes: Vec<Change>,
    pub(crate) position: Position,
    pub(crate) largest_batch: usize,
}

impl Consumer {
    pub(crate) fn new(source: Box<dyn ChangeSource>, stored: Position) -> Self {
        Self { source, changes: Vec::new(), position: stored, largest_batch: 0 }
    }

    /// The next event or error.
    pub(crate) async fn next(&mut self) -> Result<SourceEvent, SourceError> {
        let next = tokio::time::timeout(PATIENCE, self.source.next()).await;
        let event = next.unwrap_or_else(|_| panic!("nothing came: {:?}", self.source.status()))?;
        assert!(event.position() > self.position, "{event:?} does not come after {}", self.position);
        self.position = event.position();
        if let SourceEvent::Changes(batch) = &event {
            assert!(!batch.changes.is_empty());
            self.largest_batch = self.largest_batch.max(batch.changes.len());
            self.changes.extend(&batch.changes);
        }
        Ok(event)
    }

    /// Reads until there are `count` changes.
    pub(crate) async fn read(&mut self, count: usize) {
        while self.changes.len() < count {
            self.next().await.expect("an event");
        }
        assert_eq!(self.changes.len(), count, "more changes than there should be");
    }

    /// Reads, and confirms what was read, until `done` says so.
    pub(crate) async fn confirm_until(&mut self, mut done: impl FnMut(Position) -> bool) {
        loop {
            self.source.confirm(self.position);
            if done(self.position) {
                return;
            }
            self.next().await.expect("an event");
        }
    }

    /// The documents of the changes.
    pub(crate) fn documents(&self) -> Vec<i64> {
        self.changes.iter().map(|change| change.document_id).collect()
    }

    /// The error that somebody has to see to.
    pub(crate) async fn error(&mut self) -> SourceError {
        loop {
            if let Err(error) = self.next().await {
                return error;
            }
        }
    }
}
