//! The fleet: one lane, one sink and one courier for each copy that is kept, joined and parted while everything runs.
//!
//! What it is: the list of lanes in the durable queue, brought to life. Adding a sink makes its lane first, from when on
//! the stage owes it everything new, and then fills it with what is there already ([`crate::replay`]). Removing one ends
//! its courier and then the lane with all it holds. A sink that cannot be opened keeps its lane, and is tried again.
//!
//! What it is not: it knows no concrete sink. What a lane's name stands for is asked of a [`SinkFactory`].

mod adopt;
mod report;
mod runtime;

pub use report::{LaneStatus, ReplayReport};

use crate::delivery::DeliveryWorkerOptions;
use crate::error::{ProjectorError, chain};
use crate::projector::StopError;
use crate::publish;
use crate::replay::{self, Job, JobState, Ledger, NoteLedger, ReplayError, ReplayOptions, Selection, Spec};
use adopt::{Seen, adopt, see};
use futures::future::{BoxFuture, join_all};
use millstream_pipeline::clock::Clock;
use millstream_pipeline::queue::{Lanes, QueueError, WorkQueue};
use millstream_pipeline::sink::{Sink, SinkError};
use millstream_store::connect::Database;
use runtime::SinkRuntime;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often sinks that could not be opened are tried again, and lanes looked for that another process added or removed.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Opens what the name of a lane stands for.
pub trait SinkFactory: Send + Sync + 'static {
    /// The sink of this lane. It need not be reachable yet, only configured.
    ///
    /// # Errors
    /// When nothing is configured under this name, or what is there cannot be opened.
    fn open<'a>(&'a self, lane: &'a str) -> BoxFuture<'a, Result<Arc<dyn Sink>, SinkError>>;
}

/// What a fleet is made of.
#[derive(Clone)]
pub struct SinkManagerDeps {
    /// The lanes, and what is kept with them.
    pub lanes: Arc<dyn Lanes>,
    /// What they lead to.
    pub sinks: Arc<dyn SinkFactory>,
    /// Where bodies are.
    pub database: Database,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Settings of couriers.
    pub courier: DeliveryWorkerOptions,
    /// Settings of replays.
    pub replay: ReplayOptions,
    /// Whether this process delivers from the lane of this name. Other processes may serve the others.
    pub serves: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl fmt::Debug for SinkManagerDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkManagerDeps").finish_non_exhaustive()
    }
}

/// Why something about a sink was not done.
#[derive(Debug, thiserror::Error)]
pub enum SinkManagerError {
    /// Nobody delivers there.
    #[error("no sink {name:?} is delivered to; there {}", known(names))]
    Unknown {
        /// The name that was given.
        name: String,
        /// Those that there are.
        names: Vec<String>,
    },
    /// It is there already.
    #[error("the sink {0:?} is delivered to already")]
    Exists(String),
    /// It cannot be opened.
    #[error("the sink {name:?} cannot be opened")]
    Sink {
        /// Its name.
        name: String,
        /// Why.
        source: SinkError,
    },
    /// The durable queue refused.
    #[error("the lane of a sink could not be changed")]
    Queue(#[from] QueueError),
    /// A replay into its lane failed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The database or the queue failed.
    #[error(transparent)]
    Projector(#[from] ProjectorError),
}

fn known(names: &[String]) -> String {
    if names.is_empty() { "is none".to_owned() } else { format!("are: {}", names.join(", ")) }
}

/// All lanes that this process serves.
pub struct SinkManager {
    deps: SinkManagerDeps,
    berths: Arc<RwLock<BTreeMap<String, SinkRuntime>>>,
    seen: Seen,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl SinkManager {
    /// Brings the lanes that the queue has to life, those that this process serves; and those that others add later.
    ///
    /// # Errors
    /// When the queue does not answer, or what is stored of a replay cannot be read.
    pub async fn start(deps: SinkManagerDeps) -> Result<Self, SinkManagerError> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let fleet = Self { berths: Arc::default(), seen: Seen::default(), tasks, stop, deps };
        adopt(&fleet.deps, &mut *fleet.berths.write().await, &fleet.seen).await?;
        let (deps, berths, stop) = (fleet.deps.clone(), Arc::clone(&fleet.berths), fleet.stop.clone());
        fleet.tasks.spawn(async move { measure(&deps, &berths, &stop).await });
        let (deps, berths, stop) = (fleet.deps.clone(), Arc::clone(&fleet.berths), fleet.stop.clone());
        let seen = Arc::clone(&fleet.seen);
        fleet.tasks.spawn(async move {
            while stop.run_until_cancelled(deps.clock.sleep(LOOK_AGAIN)).await.is_some() {
                let mut berths = berths.write().await;
                for (name, berth) in berths.iter_mut() {
                    berth.open_again(&deps, name).await;
                }
                if let Err(error) = adopt(&deps, &mut berths, &seen).await {
                    tracing::warn!(problem = chain(&error), "the lanes of the queue could not be looked at this time");
                }
            }
        });
        Ok(fleet)
    }

    /// Adds a sink: from now on it is owed everything that changes. With `fill` also all there is.
    ///
    /// What can fail comes before the lane is made, and the note of the walk right behind it: what a crash leaves is a
    /// sink that is being filled, or a lane without a note, which [`SinkManager::fill_if_interrupted`] knows by that.
    ///
    /// # Errors
    /// [`SinkManagerError::Exists`]; [`SinkManagerError::Sink`] when it cannot be opened, and then nothing was added.
    pub async fn add(&self, name: &str, fill: Option<Spec>) -> Result<(), SinkManagerError> {
        let mut berths = self.berths.write().await;
        if berths.contains_key(name) {
            return Err(SinkManagerError::Exists(name.to_owned()));
        }
        let sink = runtime::open_sink(&self.deps, name).await?;
        let spec = fill.clone().unwrap_or_else(|| backfill(None));
        let mut job = replay::plan(&self.deps.database, &*self.deps.clock, spec).await?;
        if fill.is_none() {
            job.end(JobState::Cancelled, job.started_at_ms);
        }
        let lane = self.deps.lanes.add_lane(name).await?;
        if let Err(error) = NoteLedger::new(Arc::clone(&self.deps.lanes), name).save(&job).await {
            // Then it was not added. If this fails too, whoever finds a lane without a note fills it.
            self.deps.lanes.remove_lane(name).await?;
            return Err(ReplayError::from(error).into());
        }
        let berth = SinkRuntime::with_sink(&self.deps, name, lane, sink).await?;
        berths.insert(name.to_owned(), berth);
        tracing::info!(sink = name, "a sink was added");
        Ok(())
    }

    /// Fills a sink whose adding was cut off between its lane and the note of its filling. Answers whether it was.
    ///
    /// # Errors
    /// [`SinkManagerError::Unknown`] while this process has not taken up the lane; when the queue refuses.
    pub async fn fill_if_interrupted(&self, name: &str) -> Result<bool, SinkManagerError> {
        let noted = NoteLedger::new(Arc::clone(&self.deps.lanes), name).load().await.map_err(ReplayError::from)?;
        if noted.is_some() {
            return Ok(false);
        }
        self.replay(name, backfill(None)).await?;
        tracing::warn!(sink = name, "the sink was added and never filled: that is done now");
        Ok(true)
    }

    /// Removes a sink with everything that was owed to it. What it holds stays as it is.
    ///
    /// # Errors
    /// [`SinkManagerError::Unknown`]; when the queue refuses.
    pub async fn remove(&self, name: &str, deadline: Duration) -> Result<(), SinkManagerError> {
        let mut berths = self.berths.write().await;
        let Some(berth) = berths.remove(name) else { return Err(unknown(name, &berths)) };
        if let Err(error) = berth.close(deadline).await {
            tracing::warn!(sink = name, %error, "deliveries to a removed sink were cut off");
        }
        self.deps.lanes.remove_lane(name).await?;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).retain(|seen| seen != name);
        LaneStatus::forget(name);
        tracing::info!(sink = name, "a sink was removed");
        Ok(())
    }

    /// Pauses or resumes a sink: while it is paused, at most one entry for each document waits for it.
    ///
    /// # Errors
    /// [`SinkManagerError::Unknown`]; when the queue refuses.
    pub async fn set_paused(&self, name: &str, paused: bool) -> Result<(), SinkManagerError> {
        let mut berths = self.berths.write().await;
        if !berths.contains_key(name) {
            return Err(unknown(name, &berths));
        }
        self.deps.lanes.set_paused(name, paused).await?;
        if let Some(berth) = berths.get_mut(name).filter(|_| !paused) {
            berth.open_again(&self.deps, name).await;
        }
        Ok(())
    }

    /// Owes a sink documents again.
    ///
    /// # Errors
    /// [`SinkManagerError::Unknown`]; [`ReplayError::Busy`] while another replay into its lane runs.
    pub async fn replay(&self, name: &str, spec: Spec) -> Result<Job, SinkManagerError> {
        let berths = self.berths.read().await;
        let berth = berths.get(name).ok_or_else(|| unknown(name, &berths))?;
        Ok(berth.replay.start(spec).await?)
    }

    /// Ends the replay into a sink's lane; answers whether there was one.
    ///
    /// # Errors
    /// [`SinkManagerError::Unknown`]; when that cannot be stored.
    pub async fn cancel_replay(&self, name: &str) -> Result<bool, SinkManagerError> {
        let berths = self.berths.read().await;
        let berth = berths.get(name).ok_or_else(|| unknown(name, &berths))?;
        Ok(berth.replay.cancel().await?)
    }

    /// The lane and the sink of this name; no sink while it cannot be opened.
    ///
    /// # Errors
    /// [`SinkManagerError::Unknown`].
    pub async fn get(&self, name: &str) -> Result<(Arc<dyn WorkQueue>, Option<Arc<dyn Sink>>), SinkManagerError> {
        let berths = self.berths.read().await;
        if let Some(berth) = berths.get(name) {
            return Ok((Arc::clone(&berth.lane), berth.sink()));
        }
        match self.deps.lanes.lane(name).await? {
            Some(lane) => Ok((lane, None)),
            None => Err(unknown(name, &berths)),
        }
    }

    /// The names of all lanes, in order, whoever serves them.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn names(&self) -> Result<Vec<String>, SinkManagerError> {
        let names: Vec<String> = self.deps.lanes.lanes().await?.into_iter().map(|lane| lane.name).collect();
        see(&self.seen, names.clone());
        Ok(names)
    }

    /// The same as they were seen last, which asks nobody and so waits for nobody: what another process has added or
    /// removed shows within seconds.
    pub fn names_seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a sink is still being filled with what was there before it. Answers for any lane, whoever serves it.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn is_being_filled(&self, name: &str) -> Result<bool, SinkManagerError> {
        let job = NoteLedger::new(Arc::clone(&self.deps.lanes), name).load().await.map_err(ReplayError::from)?;
        Ok(job.is_some_and(|job| job.state == JobState::Running && job.spec == backfill(job.spec.per_s_max)))
    }

    /// Whether this process delivers from the lane of this name.
    pub async fn serves(&self, name: &str) -> bool {
        self.berths.read().await.contains_key(name)
    }

    /// How each lane is doing, in order of their names.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn status(&self) -> Result<Vec<LaneStatus>, SinkManagerError> {
        status(&self.deps, &self.berths).await
    }

    /// Ends every courier and every walk in good order.
    ///
    /// # Errors
    /// When `deadline` passes first for one of them. What it had in hand is delivered again.
    pub async fn stop(&self, deadline: Duration) -> Result<(), StopError> {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let berths = std::mem::take(&mut *self.berths.write().await);
        let closed = join_all(berths.into_values().map(|berth| berth.close(deadline))).await;
        closed.into_iter().collect()
    }
}

/// Every lane's status, published as metrics too.
async fn status(
    deps: &SinkManagerDeps,
    berths: &RwLock<BTreeMap<String, SinkRuntime>>,
) -> Result<Vec<LaneStatus>, SinkManagerError> {
    let paused: BTreeMap<String, bool> =
        deps.lanes.lanes().await?.into_iter().map(|lane| (lane.name, lane.paused)).collect();
    let asked: Vec<_> = {
        let berths = berths.read().await;
        let asked = |(name, berth): (&String, &SinkRuntime)| {
            let status = berth.status(name, paused.get(name).copied().unwrap_or_default());
            let name = name.clone();
            async move { (name, status.await) }
        };
        berths.iter().map(asked).collect()
    };
    // A lane that does not answer soon keeps nobody from adding and removing others.
    let answers = join_all(asked).await;
    let berths = berths.read().await;
    let mut all = Vec::with_capacity(answers.len());
    // One that was removed meanwhile is no trouble, and must not be published again.
    for (_, status) in answers.into_iter().filter(|(name, _)| berths.contains_key(name)) {
        let status = status?;
        publish::lane(&status);
        all.push(status);
    }
    Ok(all)
}

/// Publishes every lane's numbers, those of lanes whose sink cannot be opened too.
async fn measure(deps: &SinkManagerDeps, berths: &RwLock<BTreeMap<String, SinkRuntime>>, stop: &CancellationToken) {
    while stop.run_until_cancelled(deps.clock.sleep(deps.courier.gauge_interval)).await.is_some() {
        if let Some(Err(error)) = stop.run_until_cancelled(status(deps, berths)).await {
            tracing::debug!(problem = chain(&error), "the lanes could not be measured this time");
        }
    }
}

/// What every sink that is new is given: everything there is, deletes included.
#[must_use]
pub const fn backfill(per_s_max: Option<u32>) -> Spec {
    Spec { selection: Selection::All, per_s_max, repair: false, empty: false }
}

fn unknown(name: &str, berths: &BTreeMap<String, SinkRuntime>) -> SinkManagerError {
    SinkManagerError::Unknown { name: name.to_owned(), names: berths.keys().cloned().collect() }
}

impl Drop for SinkManager {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for SinkManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkManager").field("deps", &self.deps).finish_non_exhaustive()
    }
}
