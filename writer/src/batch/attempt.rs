//! One attempt at a batch: phase 1 in a snapshot, phase 2 in a transaction.

use super::context::Context;
use super::entry::Entry;
use super::locked::{Locked, add_locks};
use super::plan::{Candidates, Plan, plan};
use super::prepared::BatchResolution;
use super::verdict::{Verdict, Verdicts};
use super::write::{add_rows, written};
use crate::metrics::UNCHANGED;
use crate::request::Outcome;
use crate::upsert_request::UpsertRequest;
use millstream_store::error::{ErrorKind, StoreError};
use millstream_store::table::{resolution::resolve, sequence};
use millstream_store::transaction::WriteTransaction;
use std::collections::HashSet;
use std::fmt;
use uuid::Uuid;

/// A batch that was not rolled back by a failure.
#[derive(Debug)]
pub(super) struct Attempted {
    /// In the order of the entries.
    pub(super) verdicts: Vec<Verdict>,
    /// Whether it had new documents.
    pub(super) inserted: bool,
}

/// Why a whole batch was rolled back. Nothing of it was written, unless the outcome is unknown.
#[derive(Debug)]
pub(super) enum BatchError {
    /// A statement was refused because of one of the documents, or of a race with another transaction: divide the batch.
    Divide(StoreError),
    /// Another transaction did not release a lock in time.
    Locked {
        error: StoreError,
        /// ReferentialIds of the documents that have to wait for locks of others.
        waiting: HashSet<Uuid>,
    },
    /// The transaction lost against another one.
    Conflict(StoreError),
    /// The database failed.
    Store(StoreError),
}

impl BatchError {
    /// A short, fixed name for metrics.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Divide(_) => "refused",
            Self::Locked { .. } => "lock",
            Self::Conflict(_) => "conflict",
            Self::Store(_) => "database",
        }
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Divide(error) | Self::Locked { error, .. } | Self::Conflict(error) | Self::Store(error) => {
                error.fmt(f)
            }
        }
    }
}

/// `out_of_memory`, which is also what a full lock table is: a smaller transaction may do.
const OUT_OF_MEMORY: &str = "53200";

impl From<StoreError> for BatchError {
    fn from(error: StoreError) -> Self {
        match error.kind() {
            ErrorKind::UniqueViolation { .. } | ErrorKind::ForeignKeyViolation { .. } => Self::Divide(error),
            ErrorKind::Resources if error.sqlstate() == Some(OUT_OF_MEMORY) => Self::Divide(error),
            ErrorKind::LockTimeout => Self::Locked { error, waiting: HashSet::new() },
            ErrorKind::Serialization | ErrorKind::Deadlock => Self::Conflict(error),
            ErrorKind::Schema { .. } => Self::Store(error),
            _ if error.is_unavailable() => Self::Store(error),
            // A value that the server does not take, or a bug: the others of the batch are not at fault.
            _ => Self::Divide(error),
        }
    }
}

/// Makes one attempt at all entries together. Callers whose answer phase 1 knows get it before phase 2 begins.
///
/// `draws_ahead`: DocumentIds are drawn with phase 1, which saves a round trip if there are new documents.
pub(super) async fn attempt(context: &Context, entries: &[Entry], draws_ahead: bool) -> Result<Attempted, BatchError> {
    let requests: Vec<UpsertRequest<'_>> =
        entries.iter().map(|entry| entry.request(&context.lanes, &context.mapping, &context.options)).collect();
    let mut verdicts = Verdicts::new(entries.len());
    let mut transaction = WriteTransaction::open(&context.lanes).await?;
    let plan = prepare(&transaction, &requests, draws_ahead, &mut verdicts).await?;
    for (at, answer) in verdicts.take_answers() {
        if answer.as_ref().is_ok_and(|written| written.outcome == Outcome::Unchanged) {
            metrics::counter!(UNCHANGED).increment(1);
        }
        entries[at].answer(answer);
    }
    if !plan.inserts.is_empty() || !plan.edits.is_empty() {
        match write(&mut transaction, &requests, &plan, &mut verdicts).await {
            Ok(true) => transaction.committed(),
            Ok(false) => transaction.rollback().await?,
            Err(error) => {
                if let Err(error) = transaction.rollback().await {
                    tracing::debug!(%error, "rollback failed; closing the connection instead");
                }
                return Err(match BatchError::from(error) {
                    BatchError::Locked { error, .. } => {
                        BatchError::Locked { error, waiting: plan.waits_for_locks(&requests) }
                    }
                    other => other,
                });
            }
        }
    }
    Ok(Attempted { verdicts: verdicts.finish(), inserted: !plan.inserts.is_empty() })
}

/// Phase 1: one statement for the whole batch, and one that draws the ids of new documents.
async fn prepare(
    transaction: &WriteTransaction,
    requests: &[UpsertRequest<'_>],
    draws_ahead: bool,
    verdicts: &mut Verdicts,
) -> Result<Plan, StoreError> {
    let mut pipeline = transaction.pipeline()?;
    let targets = requests.iter().flat_map(|request| &request.flat.targets).map(|target| target.referential_id);
    let resolution = resolve(&mut pipeline, targets, requests.iter().map(UpsertRequest::subject));
    let posts = requests.iter().filter(|request| request.route.is_none()).count();
    let drawn = (draws_ahead && posts > 0).then(|| sequence::draw_ids(&mut pipeline, posts));
    let answers = pipeline.run().await?;
    let resolution = BatchResolution::new(answers.rows(resolution)?)?;
    let candidates = Candidates::of(requests, &resolution, verdicts);
    let ids = match drawn {
        Some(drawn) => answers.rows(drawn)?,
        None if candidates.inserts() == 0 => Vec::new(),
        None => {
            let mut pipeline = transaction.pipeline()?;
            let drawn = sequence::draw_ids(&mut pipeline, candidates.inserts());
            pipeline.run().await?.rows(drawn)?
        }
    };
    let ids: Vec<i64> = ids.into_iter().map(|row| row.document_id).collect();
    Ok(plan(requests, &resolution, candidates, &ids, verdicts))
}

/// Phase 2. `false`: it ends with a rollback, and documents without a verdict are to be written again.
async fn write(
    transaction: &mut WriteTransaction,
    requests: &[UpsertRequest<'_>],
    plan: &Plan,
    verdicts: &mut Verdicts,
) -> Result<bool, StoreError> {
    let mut pipeline = transaction.begin()?;
    let added = add_locks(&mut pipeline, requests, plan);
    let answers = pipeline.run().await?;
    let locked = Locked::read(&answers, added, requests, plan, verdicts)?;
    // Removing a document would ask every table that may refer to it: it is cheaper to begin again.
    if locked.is_empty() || locked.inserted_lost {
        return Ok(false);
    }
    let mut pipeline = transaction.pipeline()?;
    add_rows(&mut pipeline, requests, &locked);
    pipeline.commit();
    pipeline.run().await?;
    for (at, written) in written(&locked) {
        verdicts.set(at, Verdict::Answer(Ok(written)));
    }
    Ok(true)
}
