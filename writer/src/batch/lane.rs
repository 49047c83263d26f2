//! One lane: batches, one after the other, on one session.

use super::attempt::{BatchError, attempt};
use super::backlog::{Backlog, BatchLimit};
use super::context::Context;
use super::entry::Entry;
use super::verdict::Verdict;
use crate::error::WriteError;
use crate::metrics::{BATCH_DOCUMENTS, BATCH_REPEATS, BATCH_SECONDS, LANES_BUSY, SINGLES, WAIT_SECONDS};
use crate::upsert::Upsert;
use futures::FutureExt;
use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use uuid::Uuid;

/// Attempts at a batch that loses against other transactions, before its documents are written one by one.
const ATTEMPTS: u32 = 3;
/// Pause before the next attempt, times the number of attempts made.
const PAUSE: Duration = Duration::from_millis(10);
/// A refused batch of so few documents is not divided further: each is written alone.
const DIVIDE_MIN: usize = 4;

/// One lane.
#[derive(Debug)]
pub(super) struct Lane {
    context: Arc<Context>,
    receiver: mpsc::UnboundedReceiver<Entry>,
    backlog: Backlog,
    /// Whether the last batch had new documents: the next one draws ids beforehand.
    inserted: bool,
    /// Writes on the single path.
    singles: JoinSet<()>,
    /// Their keys, by task.
    keys: HashMap<Id, Vec<Uuid>>,
}

/// Entries to be written by one transaction, and the attempts made at it.
type Part = (Vec<Entry>, u32);

impl Lane {
    pub(super) fn new(context: Arc<Context>, receiver: mpsc::UnboundedReceiver<Entry>) -> Self {
        Self {
            context,
            receiver,
            backlog: Backlog::default(),
            inserted: false,
            singles: JoinSet::new(),
            keys: HashMap::new(),
        }
    }

    /// Writes until the last sender is gone and everything is answered.
    pub(super) async fn run(mut self) {
        let limit = BatchLimit {
            documents: self.context.batching.documents_max.max(1),
            bytes: self.context.batching.bytes_max,
        };
        loop {
            while let Ok(entry) = self.receiver.try_recv() {
                self.backlog.push(entry);
            }
            while let Some(ended) = self.singles.try_join_next_with_id() {
                self.ended(ended);
            }
            let busy: HashSet<Uuid> = self.keys.values().flatten().copied().collect();
            let batch = self.backlog.take(&busy, limit);
            if !batch.is_empty() {
                metrics::gauge!(LANES_BUSY).increment(1.0);
                let begun = Instant::now();
                self.write(batch).await;
                metrics::histogram!(BATCH_SECONDS).record(begun.elapsed().as_secs_f64());
                metrics::gauge!(LANES_BUSY).decrement(1.0);
            } else if !self.wait().await {
                return;
            }
        }
    }

    /// Waits for something to do; `false` if nothing will come.
    async fn wait(&mut self) -> bool {
        tokio::select! {
            Some(ended) = self.singles.join_next_with_id() => {
                self.ended(ended);
                true
            }
            received = self.receiver.recv() => match received {
                Some(entry) => {
                    self.backlog.push(entry);
                    true
                }
                None => match self.singles.join_next_with_id().await {
                    Some(ended) => {
                        self.ended(ended);
                        true
                    }
                    None => false,
                },
            },
        }
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "a write of its own ended unexpectedly");
                error.id()
            }
        };
        self.keys.remove(&id);
    }

    /// Writes a batch, in parts if it must be. Everything is answered, put back, or on the single path afterwards.
    async fn write(&mut self, batch: Vec<Entry>) {
        metrics::histogram!(BATCH_DOCUMENTS).record(batch.len() as f64);
        for entry in &batch {
            metrics::histogram!(WAIT_SECONDS).record(entry.received.elapsed().as_secs_f64());
        }
        let mut parts: Vec<Part> = vec![(batch, 1)];
        while let Some((entries, attempts)) = parts.pop() {
            let result = AssertUnwindSafe(attempt(&self.context, &entries, self.inserted)).catch_unwind().await;
            match result {
                Ok(Ok(attempted)) => {
                    self.inserted = attempted.inserted;
                    let again = self.settle(entries, attempted.verdicts);
                    if attempts < ATTEMPTS && !again.is_empty() {
                        parts.push((again, attempts + 1));
                    } else {
                        self.singles(again, "race lost");
                    }
                }
                Ok(Err(error)) => {
                    metrics::counter!(BATCH_REPEATS, "reason" => error.reason()).increment(1);
                    self.failed(open(entries), attempts, error, &mut parts).await;
                }
                // The log has the panic. Alone, a document fails alone.
                Err(_) => self.singles(open(entries), "panic"),
            }
        }
    }

    /// Goes on after a part was rolled back.
    async fn failed(&mut self, mut entries: Vec<Entry>, attempts: u32, error: BatchError, parts: &mut Vec<Part>) {
        tracing::debug!(%error, attempts, documents = entries.len(), "a batch was rolled back");
        match error {
            BatchError::Conflict(_) if attempts < ATTEMPTS => {
                tokio::time::sleep(PAUSE * attempts).await;
                parts.push((entries, attempts + 1));
            }
            BatchError::Divide(_) if entries.len() > DIVIDE_MIN => {
                let rest = entries.split_off(entries.len() / 2);
                parts.push((rest, attempts));
                parts.push((entries, attempts));
            }
            BatchError::Locked { waiting, .. } if attempts == 1 => {
                let (waiting, free): (Vec<Entry>, Vec<Entry>) =
                    entries.into_iter().partition(|entry| waiting.contains(&entry.flat.referential_id));
                self.singles(waiting, "lock");
                if !free.is_empty() {
                    parts.push((free, attempts + 1));
                }
            }
            BatchError::Store(error) => {
                entries.into_iter().for_each(|entry| entry.answer(Err(WriteError::from_store(error.clone()))));
            }
            BatchError::Conflict(_) | BatchError::Divide(_) | BatchError::Locked { .. } => {
                self.singles(entries, "batch refused");
            }
        }
    }

    /// Does what the verdicts say; returns the entries that are to be written again.
    fn settle(&mut self, entries: Vec<Entry>, verdicts: Vec<Verdict>) -> Vec<Entry> {
        let (mut later, mut again) = (Vec::new(), Vec::new());
        for (entry, verdict) in entries.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Answer(answer) => entry.answer(answer),
                Verdict::Answered => {}
                Verdict::Later => later.push(entry),
                Verdict::Again => again.push(entry),
                Verdict::Single { reason, formerly } => {
                    count_singles(1, reason);
                    self.single(entry, formerly);
                }
            }
        }
        self.backlog.put_back(later);
        again
    }

    /// Gives documents transactions of their own, beside the lane.
    fn singles(&mut self, entries: Vec<Entry>, reason: &'static str) {
        count_singles(entries.len(), reason);
        entries.into_iter().for_each(|entry| self.single(entry, None));
    }

    /// `formerly`: the identity that a rename takes away.
    fn single(&mut self, entry: Entry, formerly: Option<Uuid>) {
        let keys = entry.keys().chain(formerly).collect();
        let context = Arc::clone(&self.context);
        let task = self.singles.spawn(async move {
            let upsert = Upsert(entry.request(&context.singles, &context.mapping, &context.options));
            let written = AssertUnwindSafe(upsert.run(&context.retry)).catch_unwind().await;
            let panicked = || WriteError::internal("the writer panicked; the log has the message");
            entry.answer(written.unwrap_or_else(|_| Err(panicked())));
        });
        self.keys.insert(task.id(), keys);
    }
}

fn count_singles(entries: usize, reason: &'static str) {
    metrics::counter!(SINGLES, "reason" => reason).increment(entries as u64);
}

/// The entries that are not answered yet.
fn open(entries: Vec<Entry>) -> Vec<Entry> {
    entries.into_iter().filter(|entry| !entry.is_answered()).collect()
}
