//! The lanes of a writer, and how a write gets into one.

use super::context::{BatchOptions, Context};
use super::entry::Entry;
use super::lane::Lane;
use crate::body::FlatDocument;
use crate::error::WriteError;
use crate::metrics::QUEUED;
use crate::options::WriterOptions;
use crate::request::{Preconditions, Written};
use millstream_schema::plan::{Mapping, ResourceIx};
use millstream_store::connect::Database;
use millstream_store::error::{ErrorKind, StoreError};
use millstream_store::retry::RetryPolicy;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use uuid::Uuid;

/// Bytes per permit of the queue.
const UNIT_BYTES: usize = 1 << 10;

/// The lanes of a writer, to be run. They end when the last clone of their [`Writer`](crate::Writer) is dropped and
/// everything that it was given is answered.
#[derive(Debug)]
#[must_use = "writes wait until the lanes run"]
pub struct Lanes(Vec<Lane>);

impl Lanes {
    /// Runs all lanes to their end.
    ///
    /// # Errors
    /// A lane that panicked. Writes of its identities are refused from then on.
    pub async fn run(self) -> Result<(), JoinError> {
        let mut lanes: JoinSet<()> = self.0.into_iter().map(Lane::run).collect();
        while let Some(ended) = lanes.join_next().await {
            ended?;
        }
        Ok(())
    }
}

/// Opens the lanes of a writer.
pub(crate) fn open(
    lanes: Database,
    singles: Database,
    mapping: Arc<Mapping>,
    options: WriterOptions,
    batching: BatchOptions,
    retry: RetryPolicy,
) -> (LaneSenders, Lanes) {
    let context = Arc::new(Context { lanes, singles, mapping, options, batching, retry });
    let (senders, lanes) = (0..batching.lanes.max(1))
        .map(|_| {
            let (sender, receiver) = mpsc::unbounded_channel();
            (sender, Lane::new(Arc::clone(&context), receiver))
        })
        .unzip();
    let units = (batching.queue_bytes_max / UNIT_BYTES).clamp(1, u32::MAX as usize);
    (LaneSenders { lanes: senders, free: Arc::new(Semaphore::new(units)), units }, Lanes(lanes))
}

/// The way into the lanes. Bounded by bytes: the channels never hold more than the permits allow.
#[derive(Debug, Clone)]
pub(crate) struct LaneSenders {
    lanes: Vec<mpsc::UnboundedSender<Entry>>,
    free: Arc<Semaphore>,
    units: usize,
}

impl LaneSenders {
    /// Hands a write to its lane, and waits for the answer.
    pub(crate) async fn write(
        &self,
        resource: ResourceIx,
        flat: FlatDocument,
        route: Option<Uuid>,
        preconditions: Preconditions,
        bytes: usize,
    ) -> Result<Written, WriteError> {
        // One document always fits into an empty queue.
        let units = bytes.div_ceil(UNIT_BYTES).clamp(1, self.units) as u32;
        let Ok(queued) = Arc::clone(&self.free).try_acquire_many_owned(units) else {
            return Err(WriteError::QueueFull);
        };
        let (reply, answer) = oneshot::channel();
        let lane = lane_of(flat.referential_id, self.lanes.len());
        let received = Instant::now();
        let entry = Entry {
            resource,
            flat,
            route,
            preconditions,
            bytes,
            received,
            reply: Mutex::new(Some(reply)),
            _queued: queued,
        };
        let stopped = || WriteError::internal("the writer's lanes do not run");
        self.lanes[lane].send(entry).map_err(|_| stopped())?;
        let _waiting = Waiting::new();
        answer.await.unwrap_or_else(|_| Err(WriteError::OutcomeUnknown(ended())))
    }
}

fn ended() -> StoreError {
    StoreError::new(ErrorKind::OutcomeUnknown, "the lane of the write ended before its answer")
}

/// Counts a caller that waits for its answer.
struct Waiting;

impl Waiting {
    fn new() -> Self {
        metrics::gauge!(QUEUED).increment(1.0);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        metrics::gauge!(QUEUED).decrement(1.0);
    }
}

/// The lane of an identity: its writes meet in order of arrival. A ReferentialId is a hash already.
fn lane_of(referential_id: Uuid, lanes: usize) -> usize {
    let (high, low) = referential_id.as_u64_pair();
    ((high ^ low) % lanes as u64) as usize
}
