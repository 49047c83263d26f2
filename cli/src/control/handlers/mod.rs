//! Handlers of control requests. Each makes a few calls on the components of the running process.

mod index;
mod proof;
mod quarantine;
mod sinks;
mod unreadable;

use super::{
    protocol::{IndexAction, RebuildEnqueued, Request, Response, WaitDone},
    server::Handler,
};
use crate::{
    exit::Exit,
    failure::Failure,
    process::{
        state::{ProcessState, RunningProcess},
        status,
    },
    rebuild_entries::enqueue_rebuilds,
};
use millstream_projector::newest_version;
use std::{sync::Arc, time::Duration};

/// Returns the handler for the control socket of a process.
pub(crate) fn handler(state: &ProcessState) -> Handler {
    let state = state.clone();
    Arc::new(move |request| {
        let state = state.clone();
        Box::pin(async move {
            match request {
                Request::Status => Ok(Response::Status(Box::new(status::read(&state).await))),
                request => state.with(async |process| handle(process, request).await).await?,
            }
        })
    })
}

async fn handle(process: &RunningProcess, request: Request) -> Result<Response, Failure> {
    Ok(match request {
        // Unreachable: `handler` serves it without the components, so that it works during start and stop.
        Request::Status => return Err(Failure::failed("a status request reached the wrong handler")),
        Request::SinkAdd { sink, backfill } => sinks::add(process, &sink, backfill).await?.into(),
        Request::SinkRemove { sink } => sinks::remove(process, &sink).await?.into(),
        Request::SinkPause { sink, paused } => sinks::pause(process, &sink, paused).await?.into(),
        Request::Replay { target, spec } => sinks::replay(process, &target, &spec).await?.into(),
        Request::ReplayCancel { target } => sinks::cancel_replay(process, &target).await?.into(),
        Request::QuarantineList { place } => quarantine::list(process, place.as_ref()).await?.into(),
        Request::QuarantineShow { document, place } => {
            quarantine::show(process, place.as_ref(), document).await?.into()
        }
        Request::UnreadableShow { record, place } => unreadable::show(process, place.as_ref(), &record).await?.into(),
        Request::UnreadableSkip { records, place } => unreadable::skip(process, place.as_ref(), records).await?.into(),
        Request::QuarantineRetry { documents, place } => {
            quarantine::retry(process, place.as_ref(), documents.as_deref()).await?.into()
        }
        Request::QuarantineSkip { documents, place } => {
            quarantine::skip(process, place.as_ref(), &documents).await?.into()
        }
        Request::Wait { version, sink, timeout_ms } => {
            wait(process, version, sink.as_deref(), Duration::from_millis(timeout_ms)).await?.into()
        }
        Request::Index { sink, action } => handle_index(process, &sink, action).await?,
        Request::Prove { sink, repair, only } => {
            proof::prove(process, sink.as_deref(), repair, only.as_ref()).await?.into()
        }
        Request::Rebuild { documents } => {
            // Repaired identities and descriptors may have been remembered as they were.
            process.caches.clear();
            let enqueued = enqueue_rebuilds(&process.pools.background, &*process.queue, &documents).await?;
            RebuildEnqueued { enqueued }.into()
        }
    })
}

async fn handle_index(process: &RunningProcess, sink: &str, action: IndexAction) -> Result<Response, Failure> {
    Ok(match action {
        IndexAction::List => index::list(process, sink).await?.into(),
        IndexAction::Build { per_s } => index::build(process, sink, per_s).await?.into(),
        IndexAction::Compare { generation } => index::compare(process, sink, generation).await?.into(),
        IndexAction::Swap { generation, unchecked } => index::swap(process, sink, generation, unchecked).await?.into(),
        IndexAction::Rollback => index::rollback(process, sink).await?.into(),
        IndexAction::Drop { generation } => index::drop_generation(process, sink, generation).await?.into(),
    })
}

/// Waits until the cache, or every lane of a sink, shows every change that was committed before the call.
async fn wait(
    process: &RunningProcess,
    version: i64,
    sink: Option<&str>,
    timeout: Duration,
) -> Result<WaitDone, Failure> {
    let newest = newest_version(&process.pools.background).await.map_err(Failure::failed)?;
    if version > newest {
        return Err(Failure::usage(format!(
            "no document has version {version}: the newest assigned version is {newest}"
        )));
    }
    let lanes = match sink {
        Some(sink) => process.lanes_of(sink).await?,
        None => Vec::new(),
    };
    let catching_up = async {
        if lanes.is_empty() {
            return process.caught_up(None).await;
        }
        for lane in &lanes {
            process.caught_up(Some(lane)).await?;
        }
        Ok(())
    };
    match tokio::time::timeout(timeout, catching_up).await {
        Ok(caught_up) => caught_up.map(|()| WaitDone { version }),
        Err(_) => {
            let copy = sink.unwrap_or("the cache");
            let message =
                format!("{copy} has not caught up within {} ms: see `millstream status`", timeout.as_millis());
            Err(Failure::refused(message, Exit::Behind.code()))
        }
    }
}
