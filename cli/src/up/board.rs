//! What a running process says about itself: its status, and whether it is ready. The board is there before anything
//! has started and until everything has stopped, so that somebody who asks is always answered.

use super::{desk, numbers::Numbers, role::Role};
use crate::{
    control::{Handler, Request},
    failure::Failure,
    sinks::Sinks,
};
use futures::future::BoxFuture;
use millstream_api::{Check, Probe};
use millstream_pipeline::queue::{Lanes, WorkQueue};
use millstream_projector::{
    ProjectorHandle, SourceFactory, SystemClock, caught_up,
    replay::Replay,
    sink_manager::{ReplayReport, SinkManager},
};
use millstream_schema::plan::Mapping;
use millstream_store::{connect::Database, error::StoreError};
use serde_json::{Value, json};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

/// Pause between two looks at whether a sink is still being filled.
const FILLING_POLL: Duration = Duration::from_millis(50);

/// What there is to say about a process that has started.
pub(super) struct About {
    /// Where this process listens.
    pub(super) address: String,
    /// What clients are told.
    pub(super) url: String,
    pub(super) effective_schema_hash: String,
    pub(super) managed: bool,
    pub(super) database: Database,
    pub(super) started: Instant,
    /// The part of the projector that runs here, if any.
    pub(super) projector: Option<ProjectorHandle>,
    pub(super) mapping: Arc<Mapping>,
    /// Where work waits before the cache.
    pub(super) queue: Arc<dyn WorkQueue>,
    /// What waits behind it, a lane for each copy.
    pub(super) lanes: Arc<dyn Lanes>,
    /// Where changes come from, whoever follows them.
    pub(super) source: Arc<dyn SourceFactory>,
    /// Replays into it.
    pub(super) replay: Replay,
    /// What this process is.
    pub(super) role: Role,
    /// The sinks that are delivered to.
    pub(super) fleet: SinkManager,
    /// The sinks that this process adds if they are not there.
    pub(super) wanted: Vec<String>,
    /// Those that could be.
    pub(super) sinks: Arc<Sinks>,
}

/// Where it is said. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Board {
    about: Arc<RwLock<Option<About>>>,
    /// Whoever reads for long lets go when this is cancelled.
    closing: CancellationToken,
}

impl Board {
    /// Everything has started.
    pub(super) async fn publish(&self, about: About) {
        *self.about.write().await = Some(about);
    }

    /// Everything is about to stop.
    pub(super) async fn take(&self) -> Option<About> {
        self.closing.cancel();
        self.about.write().await.take()
    }

    /// Completes when the projector has given up, and says why. Cancellation safe.
    pub(super) async fn fatal(&self) -> String {
        match self.about.read().await.as_ref() {
            Some(About { projector: Some(projector), .. }) => projector.fatal().await,
            _ => std::future::pending().await,
        }
    }

    /// For the control socket.
    pub(super) fn handler(&self) -> Handler {
        let board = self.clone();
        Arc::new(move |request| {
            let board = board.clone();
            Box::pin(async move {
                match request {
                    Request::Status => Ok(board.status().await),
                    request => board.with(async |about| desk::carry_out(about, request).await).await?,
                }
            })
        })
    }

    /// Does something with the parts while they run; what takes long is given up when they stop.
    pub(super) async fn with<T>(&self, work: impl AsyncFnOnce(&About) -> T) -> Result<T, Failure> {
        const NOT_NOW: &str = "this Millstream is starting or stopping: try again in a moment";
        let about = self.about.read().await;
        let about = about.as_ref().ok_or_else(|| Failure::failed(NOT_NOW))?;
        self.closing.run_until_cancelled(work(about)).await.ok_or_else(|| Failure::failed(NOT_NOW))
    }

    /// For `/health/ready`.
    pub(super) fn probe(&self) -> Probe {
        let board = self.clone();
        Arc::new(move || -> BoxFuture<'static, Vec<Check>> {
            let board = board.clone();
            Box::pin(async move { board.checks().await })
        })
    }

    async fn status(&self) -> Value {
        let mut status = json!({
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "state": "starting or stopping",
        });
        if let (Some(about), Some(status)) = (self.about.read().await.as_ref(), status.as_object_mut()) {
            status.insert("state".to_owned(), json!("running"));
            status.extend(about.members().await);
        }
        status
    }

    async fn checks(&self) -> Vec<Check> {
        match self.about.read().await.as_ref() {
            Some(about) => vec![about.database_check().await, about.projector_check().await],
            None => vec![check("process", Some("the process is starting or stopping"))],
        }
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").finish_non_exhaustive()
    }
}

impl About {
    /// Waits until everything that was committed is in the cache and, with one, delivered from a lane.
    pub(super) async fn caught_up(&self, lane: Option<&str>) -> Result<(), Failure> {
        let lane = match lane {
            Some(name) => {
                // A sink that is being filled may not have been owed yet what was committed long ago.
                while self.fleet.is_being_filled(name).await.map_err(Failure::failed)? {
                    tokio::time::sleep(FILLING_POLL).await;
                }
                Some(self.fleet.get(name).await.map_err(Failure::failed)?.0)
            }
            None => None,
        };
        let waited = caught_up(&self.database, &*self.source, &*self.queue, lane.as_deref(), &SystemClock).await;
        waited.map_err(Failure::failed)
    }

    async fn members(&self) -> serde_json::Map<String, Value> {
        let projector = match &self.projector {
            None => Value::Null,
            Some(projector) => projector_status(projector).await,
        };
        let lanes = match self.fleet.status().await {
            Ok(lanes) => serde_json::to_value(lanes).unwrap_or_default(),
            Err(error) => json!({"error": Failure::failed(error).to_string()}),
        };
        // Read last: what the projector said before it is covered by the position in the server's log.
        let numbers = Numbers::of(self).await;
        numbers.publish(self);
        let members = [
            ("role", json!(self.role.to_string())),
            ("address", json!(self.address)),
            ("url", json!(self.url)),
            ("effective_schema_hash", json!(self.effective_schema_hash)),
            ("uptime_ms", json!(numbers.uptime_ms)),
            ("database", numbers.database(&self.database.options().to_string())),
            ("projector", projector),
            ("lanes", lanes),
            ("replay", json!(self.replay.job().as_ref().map(ReplayReport::from))),
        ];
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Publishes what no part publishes by itself.
    pub(super) async fn measure(&self) {
        Numbers::of(self).await.publish(self);
    }

    async fn database_check(&self) -> Check {
        let asked = async {
            let client = self.database.get().await?;
            client.batch_execute("SELECT").await.map_err(StoreError::from)
        };
        match asked.await {
            Ok(()) => check("database", None),
            Err(error) => {
                tracing::warn!(error = %Failure::failed(error), "the database does not answer");
                check("database", Some("the database does not answer: see the log"))
            }
        }
    }

    /// Answers are right without the projector, only slower: a source that is away makes nobody unready, a projector
    /// that has given up does.
    async fn projector_check(&self) -> Check {
        let Some(projector) = &self.projector else { return check("projector", None) };
        match projector.status().await {
            Ok(status) if status.fatal.is_none() => check("projector", None),
            Ok(_) => check("projector", Some("the projector has stopped: see the log")),
            Err(_) => check("projector", Some("the queue does not answer: see the log")),
        }
    }
}

async fn projector_status(projector: &ProjectorHandle) -> Value {
    match projector.status().await {
        Ok(status) => serde_json::to_value(status).unwrap_or_default(),
        Err(error) => json!({"error": Failure::failed(error).to_string()}),
    }
}

fn check(name: &'static str, problem: Option<&str>) -> Check {
    Check { name, ok: problem.is_none(), detail: problem.map(str::to_owned) }
}
