//! What `millstream verify --repair` does about tables and cache that disagree: every document is owed again, to the
//! process that runs, or, where none does, to the durable queue, for whoever works it off next.

use crate::{
    config::Config,
    control::{self, ControlError, Request, Target},
    database::Server,
    failure::Failure,
    load::grouped,
    up::{self, Queue},
};
use millstream_projector::replay::{Job, JobState, Replay, ReplayOptions, Selection, Spec};
use std::time::Duration;

/// For an answer of the running process.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at a walk.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Connections that a walk needs.
const CONNECTIONS: usize = 2;

/// Owes every document again: what is wrong in the cache is overwritten, and delivered once more. Answers what was done,
/// for people.
pub(super) async fn rebuild_all(server: &Server, config: &Config) -> Result<String, Failure> {
    let spec = Spec { selection: Selection::All, per_s_max: None, repair: true, empty: false };
    let request = Request::Replay { target: Target::Cache, spec: spec.clone() };
    match control::tell(&config.data_dir, &request, PATIENCE).await {
        Ok(_) => Ok("all bodies are made again: see `millstream status`, then verify once more".to_owned()),
        Err(ControlError::NotRunning(_)) => {
            let owed = grouped(owe_all(server, config, spec).await?);
            Ok(format!("{owed} bodies are to be made and delivered again: {}", who_goes_on(config)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Who works off what was put into the queue while nothing runs here.
pub(super) fn who_goes_on(config: &Config) -> &'static str {
    if config.queue.in_kafka {
        "the processes that share the queue do it; then verify once more"
    } else {
        "start `millstream up`, which does it, then verify once more"
    }
}

/// Puts every document into the queue; answers how many there were. Cut off in the middle, the next start goes on.
async fn owe_all(server: &Server, config: &Config, spec: Spec) -> Result<u64, Failure> {
    let database = server.connect(CONNECTIONS).await?;
    let queue = Queue::open(config, &database).await?;
    // Nobody takes anything out meanwhile, and an entry a document is no backlog to be afraid of.
    let options = ReplayOptions { queue_max: u64::MAX, ..ReplayOptions::default() };
    let owed = match up::cache_replay(config, &queue, &database, options).await {
        Ok(replay) => walk(&replay, spec).await,
        Err(failure) => Err(failure),
    };
    let closed = queue.close().await;
    database.close();
    let owed = owed?;
    closed.map(|()| owed)
}

async fn walk(replay: &Replay, spec: Spec) -> Result<u64, Failure> {
    // One that a stop interrupted asked for no more than this does.
    replay.cancel().await.map_err(Failure::failed)?;
    replay.start(spec).await.map_err(Failure::failed)?;
    loop {
        match replay.job() {
            Some(Job { state: JobState::Done, done, .. }) => {
                replay.stop().await;
                return Ok(done);
            }
            Some(Job { state: JobState::Running, .. }) => tokio::time::sleep(LOOK_AGAIN).await,
            ended => {
                let why = ended.and_then(|job| job.last_error).unwrap_or_else(|| "it was ended".to_owned());
                return Err(Failure::failed(format!("not every document could be owed again: {why}")));
            }
        }
    }
}
