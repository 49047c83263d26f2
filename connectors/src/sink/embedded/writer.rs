//! The thread that writes to an index. All waiting puts share one commit.

use super::entry::{DELETE_MEMORY, now_s};
use super::layout::{Layout, VERSION};
use futures::channel::oneshot;
use millstream_pipeline::sink::{Outcome, RetryCause};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tantivy::columnar::Column;
use tantivy::index::InvertedIndexReader;
use tantivy::indexer::{IndexWriterOptions, UserOperation};
use tantivy::query::RangeQuery;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, Index, IndexReader, IndexWriter, Searcher, SegmentReader, TERMINATED, TantivyDocument, Term};
use uuid::Uuid;

/// Capacity of the channel of puts; beyond it `send` blocks.
const WAITING_PUTS_MAX: usize = 16;

/// Number of documents after which a commit takes no further puts.
const COMMIT_DOCUMENTS_MAX: usize = 10_000;

/// Minimum time between two small commits. A commit creates a segment of ten files, independent of its size, and small
/// segments have to be merged: a commit takes tens of milliseconds of CPU. The first put after a pause does not wait.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

/// Number of documents from which a commit does not wait.
const UNPACED_DOCUMENTS: usize = 1_000;

/// Interval at which expired tombstones are deleted.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3_600);

/// A document, ready to be written.
pub(super) struct PendingDocument {
    pub(super) uuid: Uuid,
    pub(super) version: i64,
    /// Whether it may replace the same version.
    pub(super) repair: bool,
    /// Its index entries, or its outcome if it cannot be indexed.
    pub(super) block: Result<Vec<TantivyDocument>, Outcome>,
}

struct WriteRequest {
    documents: Vec<PendingDocument>,
    reply: oneshot::Sender<Vec<Outcome>>,
}

/// The handle of the thread. Dropping it ends the thread after all sent requests are written.
pub(super) struct IndexThread {
    requests: Mutex<Option<SyncSender<WriteRequest>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl IndexThread {
    pub(super) fn start(
        index: &Index,
        reader: &IndexReader,
        layout: Layout,
        heap_bytes: usize,
    ) -> tantivy::Result<Self> {
        let mut task = IndexTask {
            index: index.clone(),
            reader: reader.clone(),
            layout,
            heap_bytes,
            writer: None,
            pruned_at: Instant::now(),
            committed_at: None,
        };
        task.open()?;
        let (requests, waiting) = sync_channel(WAITING_PUTS_MAX);
        let thread = thread::Builder::new()
            .name("embedded-index".to_owned())
            .spawn(move || task.run(&waiting))
            .map_err(|error| tantivy::TantivyError::SystemError(error.to_string()))?;
        Ok(Self { requests: Mutex::new(Some(requests)), thread: Mutex::new(Some(thread)) })
    }

    /// Sends documents to the thread; blocks while the channel is full. `None` if the writer is closed.
    pub(super) fn send(&self, documents: Vec<PendingDocument>) -> Option<oneshot::Receiver<Vec<Outcome>>> {
        let requests = self.requests.lock().clone()?;
        let (reply, outcomes) = oneshot::channel();
        requests.send(WriteRequest { documents, reply }).ok()?;
        Some(outcomes)
    }

    /// Accepts no further requests, and waits until all accepted ones are written.
    pub(super) fn close(&self) {
        drop(self.requests.lock().take());
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the index thread panicked");
        }
    }
}

impl Drop for IndexThread {
    fn drop(&mut self) {
        self.close();
    }
}

struct IndexTask {
    index: Index,
    reader: IndexReader,
    layout: Layout,
    heap_bytes: usize,
    /// `None` after a failure, which drops everything uncommitted. The next request opens another.
    writer: Option<IndexWriter>,
    pruned_at: Instant,
    committed_at: Option<Instant>,
}

impl IndexTask {
    fn open(&mut self) -> tantivy::Result<&mut IndexWriter> {
        if let Some(ref mut writer) = self.writer {
            return Ok(writer);
        }
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(1)
            .memory_budget_per_thread(self.heap_bytes)
            .build();
        Ok(self.writer.insert(self.index.writer_with_options(options)?))
    }

    fn run(mut self, waiting: &Receiver<WriteRequest>) {
        while let Ok(first) = waiting.recv() {
            let requests = self.gather(first, waiting);
            self.write(requests);
            self.committed_at = Some(Instant::now());
        }
    }

    /// Collects the requests of one commit.
    fn gather(&self, first: WriteRequest, waiting: &Receiver<WriteRequest>) -> Vec<WriteRequest> {
        let until = self.committed_at.map(|at| at + COMMIT_INTERVAL);
        let mut documents = first.documents.len();
        let mut requests = vec![first];
        while documents < COMMIT_DOCUMENTS_MAX {
            let rest = until.map(|until| until.saturating_duration_since(Instant::now())).unwrap_or_default();
            let request = if documents >= UNPACED_DOCUMENTS || rest.is_zero() {
                waiting.try_recv().ok()
            } else {
                waiting.recv_timeout(rest).ok()
            };
            // None arrived in time, or the channel is closed.
            let Some(request) = request else { break };
            documents += request.documents.len();
            requests.push(request);
        }
        requests
    }

    fn write(&mut self, requests: Vec<WriteRequest>) {
        let mut replies = Vec::new();
        let mut documents = Vec::new();
        for request in requests {
            replies.push((request.reply, request.documents.len()));
            documents.extend(request.documents);
        }
        let count = documents.len();
        let outcomes = self.commit(documents).unwrap_or_else(|error| {
            self.writer = None;
            tracing::warn!(%error, documents = count, "failed to write to the embedded index");
            vec![Outcome::retry(RetryCause::Unavailable, format!("the index cannot be written: {error}")); count]
        });
        let mut outcomes = outcomes.into_iter();
        for (reply, count) in replies {
            // The caller may have stopped waiting; the commit stands.
            drop(reply.send(outcomes.by_ref().take(count).collect()));
        }
    }

    fn commit(&mut self, documents: Vec<PendingDocument>) -> tantivy::Result<Vec<Outcome>> {
        let layout = self.layout;
        if self.writer.is_none() {
            // The failed commit may have been written: compare versions with the state on disk.
            self.reader.reload()?;
        }
        let versions = CommittedVersions::of(&self.reader.searcher(), layout)?;
        let prune_is_due = self.pruned_at.elapsed() >= PRUNE_INTERVAL;
        let writer = self.open()?;
        let mut written: HashMap<Uuid, i64> = HashMap::new();
        let mut outcomes = Vec::with_capacity(documents.len());
        for document in documents {
            let held = match written.get(&document.uuid) {
                Some(version) => Some(*version),
                None => versions.get(document.uuid)?,
            };
            let is_old =
                held.is_some_and(|held| held > document.version || (held == document.version && !document.repair));
            outcomes.push(match document.block {
                _ if is_old => Outcome::Superseded,
                Err(outcome) => outcome,
                Ok(block) => {
                    // A commit looks up every delete in every segment, so delete only blocks that exist.
                    let old = held.map(|_| Term::from_field_bytes(layout.block, document.uuid.as_bytes()));
                    let operations = old.map(UserOperation::Delete).into_iter();
                    let operations = operations.chain(block.into_iter().map(UserOperation::Add));
                    // One call keeps the block together.
                    writer.run(operations.collect::<Vec<_>>())?;
                    written.insert(document.uuid, document.version);
                    Outcome::Done
                }
            });
        }
        if !written.is_empty() {
            if prune_is_due {
                prune_tombstones(writer, layout, now_s().saturating_sub(DELETE_MEMORY.as_secs()))?;
            }
            writer.commit()?;
            self.reader.reload()?;
            if prune_is_due {
                self.pruned_at = Instant::now();
            }
        }
        Ok(outcomes)
    }
}

/// Deletes tombstones that were written before a time.
fn prune_tombstones(writer: &IndexWriter, layout: Layout, before_s: u64) -> tantivy::Result<()> {
    let end = Bound::Excluded(Term::from_field_u64(layout.deleted_at_s, before_s));
    let begin = Bound::Included(Term::from_field_u64(layout.deleted_at_s, 0));
    writer.delete_query(Box::new(RangeQuery::new(begin, end)))?;
    Ok(())
}

/// The versions in the last commit.
struct CommittedVersions {
    layout: Layout,
    segments: Vec<(SegmentReader, Arc<InvertedIndexReader>, Column<i64>)>,
}

impl CommittedVersions {
    fn of(searcher: &Searcher, layout: Layout) -> tantivy::Result<Self> {
        let segments = searcher.segment_readers().iter().map(|segment| {
            Ok((segment.clone(), segment.inverted_index(layout.block)?, segment.fast_fields().i64(VERSION)?))
        });
        Ok(Self { layout, segments: segments.collect::<tantivy::Result<_>>()? })
    }

    fn get(&self, uuid: Uuid) -> tantivy::Result<Option<i64>> {
        let term = Term::from_field_bytes(self.layout.block, uuid.as_bytes());
        for (segment, index, versions) in &self.segments {
            let Some(mut postings) = index.read_postings(&term, IndexRecordOption::Basic)? else { continue };
            while postings.doc() != TERMINATED {
                let doc = postings.doc();
                // In a block only the document itself has a version.
                if !segment.is_deleted(doc)
                    && let Some(version) = versions.first(doc)
                {
                    return Ok(Some(version));
                }
                postings.advance();
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::tombstone;
    use super::*;

    #[test]
    fn only_tombstones_that_have_served_their_time_are_forgotten() {
        let (schema, layout) = Layout::new();
        let index = Index::create_in_ram(schema);
        let mut writer: IndexWriter = index.writer_with_num_threads(1, 15_000_000).expect("a writer");
        let [old, young] = [1, 2].map(Uuid::from_u128);
        writer.add_document(tombstone(&layout, old, 5, 1_000)).expect("added");
        writer.add_document(tombstone(&layout, young, 6, 2_000)).expect("added");
        writer.commit().expect("committed");
        prune_tombstones(&writer, layout, 2_000).expect("asked for");
        writer.commit().expect("committed");
        let searcher = index.reader().expect("a reader").searcher();
        let versions = CommittedVersions::of(&searcher, layout).expect("they can be read");
        assert_eq!(versions.get(old).expect("read"), None);
        assert_eq!(versions.get(young).expect("read"), Some(6));
    }
}
