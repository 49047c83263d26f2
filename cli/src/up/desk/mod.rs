//! What a running process does when a command asks it to: each request is a few calls on the parts that run.

mod index;
mod prove;
mod quarantine;
mod unreadable;

pub(crate) use prove::{mend, told};

use super::board::About;
use crate::{
    control::{Request, Target},
    exit::Exit,
    failure::Failure,
    sinks::LaneName,
};
use millstream_pipeline::queue::WorkQueue;
use millstream_pipeline::sink::Sink;
use millstream_projector::{
    SystemClock, newest_version,
    replay::{JobState, Spec},
    sink_manager::{SinkManagerError, backfill},
    tombstones::{self, HeldBack, Pruned, TombstoneDeps},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// How long deliveries in hand may take when their sink is removed.
const REMOVE_DEADLINE: Duration = Duration::from_secs(10);

/// How long the stage and each lane are waited for before tombstones are pruned: one that is slower keeps them.
const TOMBSTONE_PATIENCE: Duration = Duration::from_secs(30);

/// Carries a request out; the status is told elsewhere.
pub(super) async fn carry_out(about: &About, request: Request) -> Result<Value, Failure> {
    match request {
        Request::Status => Ok(Value::Null),
        Request::SinkAdd { sink, backfill: fill } => add(about, &sink, fill.map(backfill)).await,
        Request::SinkRemove { sink } => {
            let lanes = lanes(about, &sink).await?;
            for lane in &lanes {
                about.fleet.remove(lane, REMOVE_DEADLINE).await.map_err(failed)?;
            }
            Ok(json!({"removed": lanes}))
        }
        Request::SinkPause { sink, paused } => {
            let lanes = lanes(about, &sink).await?;
            for lane in &lanes {
                about.fleet.set_paused(lane, paused).await.map_err(failed)?;
            }
            Ok(json!({"lanes": lanes, "paused": paused}))
        }
        Request::Replay { target, spec } => replay(about, &target, &spec).await,
        Request::ReplayCancel { target } => cancel(about, &target).await,
        Request::QuarantineList { place } => quarantine::list(about, place.as_ref()).await,
        Request::QuarantineShow { document, place } => quarantine::show(about, place.as_ref(), document).await,
        Request::UnreadableShow { record, place } => unreadable::show(about, place.as_ref(), &record).await,
        Request::UnreadableSkip { records, place } => unreadable::skip(about, place.as_ref(), records).await,
        Request::QuarantineRetry { documents, place } => {
            quarantine::retry(about, place.as_ref(), documents.as_deref()).await
        }
        Request::QuarantineSkip { documents, place } => quarantine::skip(about, place.as_ref(), &documents).await,
        Request::Wait { version, sink, timeout_ms } => wait(about, version, sink.as_deref(), timeout_ms).await,
        Request::Index { sink, action } => index::carry_out(about, &sink, action).await,
        Request::Prove { sink, repair } => prove::prove(about, sink.as_deref(), repair).await,
    }
}

/// Errors of the fleet: what was named wrongly is the asker's mistake.
fn failed(error: SinkManagerError) -> Failure {
    match error {
        SinkManagerError::Unknown { .. } | SinkManagerError::Exists(_) => Failure::usage(error),
        error => Failure::failed(error),
    }
}

/// The lanes that a name means: one, or one for each generation of a sink.
async fn lanes(about: &About, name: &str) -> Result<Vec<String>, Failure> {
    let names = about.fleet.names().await.map_err(failed)?;
    let meant = meant(&names, name);
    if meant.is_empty() { Err(failed(SinkManagerError::Unknown { name: name.to_owned(), names })) } else { Ok(meant) }
}

fn meant(names: &[String], name: &str) -> Vec<String> {
    names.iter().filter(|lane| LaneName::parse(lane).is_meant_by(name)).cloned().collect()
}

async fn add(about: &About, sink: &str, fill: Option<Spec>) -> Result<Value, Failure> {
    if !meant(&about.fleet.names().await.map_err(failed)?, sink).is_empty() {
        return Err(failed(SinkManagerError::Exists(sink.to_owned())));
    }
    let lane = about.sinks.lane_of_new(sink).await.map_err(Failure::failed)?;
    about.fleet.add(&lane, fill).await.map_err(failed)?;
    Ok(json!({"lane": lane}))
}

/// Adds every sink that the configuration wants and that has no lane yet, and fills those that were never filled. Answers
/// how many are still missing.
pub(super) async fn add_wanted(about: &About) -> usize {
    let mut missing = 0;
    for sink in &about.wanted {
        if lanes(about, sink).await.is_ok() {
            continue;
        }
        if let Err(failure) = add(about, sink, Some(backfill(None))).await {
            tracing::warn!(sink, problem = %failure, "a configured sink could not be added yet: trying again");
            missing += 1;
        }
    }
    missing + usize::from(!fill_interrupted(about).await)
}

/// Fills the lanes of this process whose adding was cut off before. Answers whether none is left.
async fn fill_interrupted(about: &About) -> bool {
    for lane in about.fleet.names_seen() {
        if about.fleet.serves(&lane).await
            && let Err(error) = about.fleet.fill_if_interrupted(&lane).await
        {
            tracing::warn!(lane, problem = %failed(error), "it is not known yet whether the sink was filled: trying again");
            return false;
        }
    }
    true
}

/// Removes old tombstones, unless a copy may need them: also one that is wanted and not there yet.
pub(super) async fn prune_tombstones(about: &About, keep: Duration) -> Result<Pruned, Failure> {
    let names = about.fleet.names().await.map_err(failed)?;
    if let Some(sink) = about.wanted.iter().find(|sink| meant(&names, sink).is_empty()) {
        return Ok(Pruned::HeldBack(HeldBack::Absent(sink.clone())));
    }
    if about.replay.job().is_some_and(|job| job.state == JobState::Running) {
        return Ok(Pruned::HeldBack(HeldBack::Replay("the cache".to_owned())));
    }
    let deps = TombstoneDeps {
        database: about.database.clone(),
        source: Arc::clone(&about.source),
        queue: Arc::clone(&about.queue),
        lanes: Arc::clone(&about.lanes),
        clock: Arc::new(SystemClock),
    };
    tombstones::prune(&deps, keep, TOMBSTONE_PATIENCE).await.map_err(Failure::failed)
}

/// A part that holds entries: the stage, or a lane with its sink.
struct Spot {
    name: String,
    queue: Arc<dyn WorkQueue>,
    sink: Option<Arc<dyn Sink>>,
}

/// The parts that a place means; all of them without one.
async fn spots(about: &About, place: Option<&Target>) -> Result<Vec<Spot>, Failure> {
    let stage = || Spot { name: "cache".to_owned(), queue: Arc::clone(&about.queue), sink: None };
    let (mut spots, names) = match place {
        None => (vec![stage()], about.fleet.names().await.map_err(failed)?),
        Some(Target::Cache) => (vec![stage()], Vec::new()),
        Some(Target::Sink(name)) => (Vec::new(), lanes(about, name).await?),
    };
    for name in names {
        let (queue, sink) = about.fleet.get(&name).await.map_err(failed)?;
        spots.push(Spot { name, queue, sink });
    }
    Ok(spots)
}

async fn replay(about: &About, target: &Target, spec: &Spec) -> Result<Value, Failure> {
    match target {
        Target::Cache => {
            let job = about.replay.start(spec.clone()).await.map_err(Failure::failed)?;
            Ok(json!({"total": job.total, "targets": ["cache"]}))
        }
        Target::Sink(name) => {
            let (lanes, mut total) = (lanes(about, name).await?, 0);
            for lane in &lanes {
                total = about.fleet.replay(lane, spec.clone()).await.map_err(failed)?.total;
            }
            Ok(json!({"total": total, "targets": lanes}))
        }
    }
}

async fn cancel(about: &About, target: &Target) -> Result<Value, Failure> {
    let mut cancelled = Vec::new();
    match target {
        Target::Cache => {
            if about.replay.cancel().await.map_err(Failure::failed)? {
                cancelled.push("cache".to_owned());
            }
        }
        Target::Sink(name) => {
            for lane in lanes(about, name).await? {
                if about.fleet.cancel_replay(&lane).await.map_err(failed)? {
                    cancelled.push(lane);
                }
            }
        }
    }
    Ok(json!({"cancelled": cancelled}))
}

async fn wait(about: &About, version: i64, sink: Option<&str>, timeout_ms: u64) -> Result<Value, Failure> {
    let newest = newest_version(&about.database).await.map_err(Failure::failed)?;
    if version > newest {
        return Err(Failure::usage(format!(
            "no document has version {version}: the newest that was given is {newest}"
        )));
    }
    let names = match sink {
        Some(sink) => lanes(about, sink).await?,
        None => Vec::new(),
    };
    let catching_up = async {
        if names.is_empty() {
            return about.caught_up(None).await;
        }
        for name in &names {
            about.caught_up(Some(name)).await?;
        }
        Ok(())
    };
    match tokio::time::timeout(Duration::from_millis(timeout_ms), catching_up).await {
        Ok(caught_up) => caught_up.map(|()| json!({"version": version})),
        Err(_) => Err(Failure::told(
            format!(
                "{} has not caught up within {timeout_ms} ms: see `millstream status`",
                sink.unwrap_or("the cache")
            ),
            Exit::Behind.code(),
        )),
    }
}
