//! The one thread that writes to an index: everything that waits goes into one commit.

use super::entry::now_s;
use super::layout::{Layout, VERSION};
use super::sink::DELETE_MEMORY;
use futures::channel::oneshot;
use millstream_pipeline::sink::{Outcome, RetryCause};
use std::collections::HashMap;
use std::ops::Bound;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tantivy::columnar::Column;
use tantivy::index::InvertedIndexReader;
use tantivy::indexer::{IndexWriterOptions, UserOperation};
use tantivy::query::RangeQuery;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, Index, IndexReader, IndexWriter, Searcher, SegmentReader, TERMINATED, TantivyDocument, Term};
use uuid::Uuid;

/// Puts that wait for the thread, beyond which they wait to be taken.
const WAITING_PUTS_MAX: usize = 16;

/// Documents of one commit, beyond which the next put waits for the next.
const COMMIT_DOCUMENTS_MAX: usize = 10_000;

/// A commit makes a segment of ten files, whatever is in it, and many small ones have to be merged: it takes tens of
/// milliseconds of a processor. So few documents wait until the last commit is this old, and go together. The first one
/// after a rest goes at once.
const COMMIT_PACE: Duration = Duration::from_millis(100);

/// So many documents wait for nothing.
const COMMIT_DOCUMENTS_ENOUGH: usize = 1_000;

/// How often tombstones that have served their time are looked for.
const FORGETTING: Duration = Duration::from_secs(3_600);

/// A document, ready to be written.
pub(super) struct Entry {
    pub(super) uuid: Uuid,
    pub(super) version: i64,
    /// May replace the same version.
    pub(super) repair: bool,
    /// What it is in the index, or why it cannot be.
    pub(super) block: Result<Vec<TantivyDocument>, Outcome>,
}

struct Job {
    entries: Vec<Entry>,
    answer: oneshot::Sender<Vec<Outcome>>,
}

/// The handle of the thread. Dropping it ends the thread, once what was sent is written.
pub(super) struct Writer {
    jobs: Mutex<Option<SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(
        index: &Index,
        reader: &IndexReader,
        layout: Layout,
        heap_bytes: usize,
    ) -> tantivy::Result<Self> {
        let mut work = Work {
            index: index.clone(),
            reader: reader.clone(),
            layout,
            heap_bytes,
            writer: None,
            forgot_at: Instant::now(),
            committed_at: None,
        };
        work.open()?;
        let (jobs, waiting) = sync_channel(WAITING_PUTS_MAX);
        let thread = thread::Builder::new()
            .name("embedded-index".to_owned())
            .spawn(move || work.run(&waiting))
            .map_err(|error| tantivy::TantivyError::SystemError(error.to_string()))?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)) })
    }

    /// Hands entries to the thread, waiting while too much waits already. `None`: it was closed.
    pub(super) fn send(&self, entries: Vec<Entry>) -> Option<oneshot::Receiver<Vec<Outcome>>> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let (answer, outcomes) = oneshot::channel();
        jobs.send(Job { entries, answer }).ok()?;
        Some(outcomes)
    }

    /// Takes no more, and waits until what was taken is written.
    pub(super) fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of an embedded index panicked");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

struct Work {
    index: Index,
    reader: IndexReader,
    layout: Layout,
    heap_bytes: usize,
    /// `None` after a failure: what was not committed is dropped with it, and the next job opens another.
    writer: Option<IndexWriter>,
    forgot_at: Instant,
    committed_at: Option<Instant>,
}

impl Work {
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

    fn run(mut self, waiting: &Receiver<Job>) {
        while let Ok(first) = waiting.recv() {
            let jobs = self.gather(first, waiting);
            self.write(jobs);
            self.committed_at = Some(Instant::now());
        }
    }

    /// What goes into one commit.
    fn gather(&self, first: Job, waiting: &Receiver<Job>) -> Vec<Job> {
        let until = self.committed_at.map(|at| at + COMMIT_PACE);
        let mut documents = first.entries.len();
        let mut jobs = vec![first];
        while documents < COMMIT_DOCUMENTS_MAX {
            let rest = until.map(|until| until.saturating_duration_since(Instant::now())).unwrap_or_default();
            let job = if documents >= COMMIT_DOCUMENTS_ENOUGH || rest.is_zero() {
                waiting.try_recv().ok()
            } else {
                waiting.recv_timeout(rest).ok()
            };
            // Nothing more came in time, or nothing more will come.
            let Some(job) = job else { break };
            documents += job.entries.len();
            jobs.push(job);
        }
        jobs
    }

    fn write(&mut self, jobs: Vec<Job>) {
        let mut answers = Vec::new();
        let mut entries = Vec::new();
        for job in jobs {
            answers.push((job.answer, job.entries.len()));
            entries.extend(job.entries);
        }
        let count = entries.len();
        let outcomes = self.commit(entries).unwrap_or_else(|error| {
            self.writer = None;
            tracing::warn!(%error, documents = count, "the embedded index could not be written");
            vec![Outcome::retry(RetryCause::Unavailable, format!("the index could not be written: {error}")); count]
        });
        let mut outcomes = outcomes.into_iter();
        for (answer, count) in answers {
            // Who asked may have gone: what was written stays written.
            drop(answer.send(outcomes.by_ref().take(count).collect()));
        }
    }

    fn commit(&mut self, entries: Vec<Entry>) -> tantivy::Result<Vec<Outcome>> {
        let layout = self.layout;
        if self.writer.is_none() {
            // What failed before may have been written all the same: versions are compared with what is on disk.
            self.reader.reload()?;
        }
        let versions = Versions::of(&self.reader.searcher(), layout)?;
        let is_time_to_forget = self.forgot_at.elapsed() >= FORGETTING;
        let writer = self.open()?;
        let mut written: HashMap<Uuid, i64> = HashMap::new();
        let mut outcomes = Vec::with_capacity(entries.len());
        for entry in entries {
            let held = match written.get(&entry.uuid) {
                Some(version) => Some(*version),
                None => versions.get(entry.uuid)?,
            };
            let is_old = held.is_some_and(|held| held > entry.version || (held == entry.version && !entry.repair));
            outcomes.push(match entry.block {
                _ if is_old => Outcome::Superseded,
                Err(outcome) => outcome,
                Ok(block) => {
                    // A commit looks for what is to be deleted in every segment: only for what is there.
                    let old = held.map(|_| Term::from_field_bytes(layout.block, entry.uuid.as_bytes()));
                    let operations = old.map(UserOperation::Delete).into_iter();
                    let operations = operations.chain(block.into_iter().map(UserOperation::Add));
                    // One call, so that the block stays together.
                    writer.run(operations.collect::<Vec<_>>())?;
                    written.insert(entry.uuid, entry.version);
                    Outcome::Done
                }
            });
        }
        if !written.is_empty() {
            if is_time_to_forget {
                forget(writer, layout, now_s().saturating_sub(DELETE_MEMORY.as_secs()))?;
            }
            writer.commit()?;
            self.reader.reload()?;
            if is_time_to_forget {
                self.forgot_at = Instant::now();
            }
        }
        Ok(outcomes)
    }
}

/// Deletes tombstones that were written before a time.
fn forget(writer: &IndexWriter, layout: Layout, before_s: u64) -> tantivy::Result<()> {
    let end = Bound::Excluded(Term::from_field_u64(layout.deleted_at_s, before_s));
    let begin = Bound::Included(Term::from_field_u64(layout.deleted_at_s, 0));
    writer.delete_query(Box::new(RangeQuery::new(begin, end)))?;
    Ok(())
}

/// Versions of what was committed last.
struct Versions {
    layout: Layout,
    segments: Vec<(SegmentReader, std::sync::Arc<InvertedIndexReader>, Column<i64>)>,
}

impl Versions {
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
                // Of a block only the document itself has a version.
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
        forget(&writer, layout, 2_000).expect("asked for");
        writer.commit().expect("committed");
        let searcher = index.reader().expect("a reader").searcher();
        let versions = Versions::of(&searcher, layout).expect("they can be read");
        assert_eq!(versions.get(old).expect("read"), None);
        assert_eq!(versions.get(young).expect("read"), Some(6));
    }
}
