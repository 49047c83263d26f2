//! The repair of tables and cache by `millstream verify --repair`: enqueues every document again, in the running process
//! or, without one, directly into the durable queue.

use crate::{
    config::Config,
    control::{
        self, ControlError, Request,
        protocol::{ReplayStarted, Target},
    },
    database::Server,
    failure::Failure,
    text::grouped,
    up::{self, Queue},
};
use millstream_projector::replay::{Job, JobState, Replay, ReplayOptions, Selection, Spec};
use std::time::Duration;

/// Longest wait for a reply of the running process.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two checks of a replay.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Connections that a replay needs.
const CONNECTIONS: usize = 2;

/// Enqueues every document again, which overwrites and redelivers its cached body. Returns a sentence for the operator.
pub(super) async fn rebuild_all(server: &Server, config: &Config) -> Result<String, Failure> {
    let spec = Spec { selection: Selection::All, per_s_max: None, repair: true, empty: false };
    let request = Request::Replay { target: Target::Cache, spec: spec.clone() };
    match control::call::<ReplayStarted>(&config.data_dir, &request, REPLY_TIMEOUT).await {
        Ok(_) => Ok("all bodies are being rebuilt: see `millstream status`, then verify once more".to_owned()),
        Err(ControlError::NotRunning(_)) => {
            let enqueued = grouped(enqueue_all(server, config, spec).await?);
            Ok(format!("{enqueued} bodies are to be made and delivered again: {}", next_step(config)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns which processes consume entries that were enqueued while no process runs on the data folder.
pub(super) fn next_step(config: &Config) -> &'static str {
    if config.queue.in_kafka {
        "the processes that share the queue do it; then verify once more"
    } else {
        "start `millstream up`, which does it, then verify once more"
    }
}

/// Enqueues every document; returns how many. If it is interrupted, the next start resumes it.
async fn enqueue_all(server: &Server, config: &Config, spec: Spec) -> Result<u64, Failure> {
    let database = server.connect(CONNECTIONS).await?;
    let queue = Queue::open(config, &database).await?;
    // No process consumes the queue meanwhile, so waiting for room would never end; one entry per document fits.
    let options = ReplayOptions { queue_max: u64::MAX, ..ReplayOptions::default() };
    let enqueued = match up::cache_replay(config, &queue, &database, options).await {
        Ok(replay) => run_to_end(&replay, spec).await,
        Err(failure) => Err(failure),
    };
    let closed = queue.close().await;
    database.close();
    let enqueued = enqueued?;
    closed.map(|()| enqueued)
}

async fn run_to_end(replay: &Replay, spec: Spec) -> Result<u64, Failure> {
    // An interrupted replay is a subset of this one.
    replay.cancel().await.map_err(Failure::failed)?;
    replay.start(spec).await.map_err(Failure::failed)?;
    loop {
        match replay.job() {
            Some(Job { state: JobState::Done, done, .. }) => {
                replay.stop().await;
                return Ok(done);
            }
            Some(Job { state: JobState::Running, .. }) => tokio::time::sleep(POLL_INTERVAL).await,
            ended => {
                let error = ended.and_then(|job| job.last_error).unwrap_or_else(|| "it was cancelled".to_owned());
                return Err(Failure::failed(format!("failed to enqueue every document: {error}")));
            }
        }
    }
}
