//! Baseline of the embedded index: the same entries, prepared before, added by a plain writer with the same memory.

use crate::failure::Failure;
use millstream_connectors::sink::embedded::BaselineEntries;
use millstream_pipeline::sink::Delivery;
use millstream_search::SearchModel;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tantivy::indexer::{IndexWriterOptions, UserOperation};
use tantivy::{Index, IndexWriter};

/// Batches per commit. Of four batches in flight, the sink finds one to three pending after each commit.
const COMMIT_BATCHES: usize = 2;

/// Writes all documents to a new index; returns documents per second.
pub(super) fn write(
    folder: &Path,
    model: &Arc<SearchModel>,
    all: &[Delivery],
    batch_documents: usize,
    heap_bytes: usize,
) -> Result<f64, Failure> {
    let entries = BaselineEntries::new(Arc::clone(model));
    let ready = all.iter().map(|delivery| entries.of(delivery)).collect::<Result<Vec<_>, _>>()?;
    std::fs::create_dir(folder)?;
    let index = Index::create_in_dir(folder, entries.schema())?;
    let options = IndexWriterOptions::builder()
        .num_worker_threads(1)
        .num_merge_threads(1)
        .memory_budget_per_thread(heap_bytes)
        .build();
    let mut writer: IndexWriter = index.writer_with_options(options)?;
    let started = Instant::now();
    let mut ready = ready.into_iter().peekable();
    while ready.peek().is_some() {
        for block in ready.by_ref().take(batch_documents * COMMIT_BATCHES) {
            writer.run(block.into_iter().map(UserOperation::Add).collect::<Vec<_>>())?;
        }
        writer.commit()?;
    }
    Ok(all.len() as f64 / started.elapsed().as_secs_f64())
}
