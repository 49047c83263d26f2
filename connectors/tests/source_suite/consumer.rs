//! A consumer with a deadline.

use std::time::Duration;

use millstream_pipeline::source::{ChangeSource, SourceError, SourceEvent};
use millstream_pipeline::{Change, Position};

/// Deadline of every wait of a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Reads a source and checks the invariants of every event.
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

    /// Returns the next event or error.
    pub(crate) async fn next(&mut self) -> Result<SourceEvent, SourceError> {
        let next = tokio::time::timeout(PATIENCE, self.source.next()).await;
        let event = next.unwrap_or_else(|_| panic!("no event: {:?}", self.source.status()))?;
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

    /// Reads and confirms until `done` returns true.
    pub(crate) async fn confirm_until(&mut self, mut done: impl FnMut(Position) -> bool) {
        loop {
            self.source.confirm(self.position);
            if done(self.position) {
                return;
            }
            self.next().await.expect("an event");
        }
    }

    /// Returns the documents of the changes.
    pub(crate) fn documents(&self) -> Vec<i64> {
        self.changes.iter().map(|change| change.document_id).collect()
    }

    /// Reads until the source returns its error.
    pub(crate) async fn error(&mut self) -> SourceError {
        loop {
            if let Err(error) = self.next().await {
                return error;
            }
        }
    }
}
