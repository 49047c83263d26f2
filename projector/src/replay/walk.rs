//! The walk of a replay: enqueues page after page, at its rate, until the end or until it is stopped.

use super::job::{Job, JobState, ReplayCursor};
use super::ledger::LedgerError;
use super::page;
use super::state::{ReplayError, ReplayState};
use crate::backlog::wait_until_below;
use crate::error::{During, ProjectorError};
use millstream_pipeline::error::chain;
use millstream_store::table::cache;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Walks until the end, an error that a retry cannot fix, or `stop`. The job records how it ended.
pub(super) async fn walk(state: &ReplayState, stop: &CancellationToken) {
    let Some(mut job) = state.job() else { return };
    let walked = stop.run_until_cancelled(walk_job(state, &mut job)).await;
    let now_ms = state.deps.clock.now_ms();
    match walked {
        // The next start resumes it.
        None => return,
        Some(Ok(())) => job.end(JobState::Done, now_ms),
        Some(Err(error)) => {
            let problem = chain(&error);
            tracing::error!(problem, "replay failed");
            job.last_error = Some(problem);
            job.end(JobState::Failed, now_ms);
        }
    }
    let (result, done, took_ms) = (job.state, job.done, now_ms.saturating_sub(job.started_at_ms));
    tracing::info!(state = ?result, done, took_ms, "replay ended");
    state.set(job.clone());
    let saved = stop.run_until_cancelled(save(state, &job)).await;
    if let Some(Err(error)) = saved {
        // Expected after the lane was removed, and its note with it.
        tracing::warn!(problem = chain(&error), "failed to store the end of a replay");
    }
}

async fn walk_job(state: &ReplayState, job: &mut Job) -> Result<(), ReplayError> {
    let deps = &state.deps;
    let mut outages = deps.options.outage_backoff.attempts();
    // The rate counts from here, not from before a restart: lost time is not made up for.
    let (began_ms, began_at) = (deps.clock.now_ms(), job.done);
    while job.cursor != ReplayCursor::End {
        match enqueue_page(state, job).await {
            Ok(()) => outages.succeed(),
            Err(error) if error.is_fatal_queue() => return Err(error.into()),
            Err(error) => {
                job.last_error = Some(chain(&error));
                state.set(job.clone());
                deps.clock.sleep(outages.fail()).await;
                continue;
            }
        }
        save(state, job).await?;
        if let Some(per_s) = job.spec.per_s_max.filter(|per_s| *per_s > 0) {
            let due_ms = began_ms + (job.done - began_at).saturating_mul(1_000) / u64::from(per_s);
            deps.clock.sleep(Duration::from_millis(due_ms.saturating_sub(deps.clock.now_ms()))).await;
        }
    }
    Ok(())
}

/// Stores the progress. Waits for a queue that does not answer: the walk cannot continue without it, and has not
/// failed.
async fn save(state: &ReplayState, job: &Job) -> Result<(), LedgerError> {
    let mut outages = state.deps.options.outage_backoff.attempts();
    loop {
        match state.save(job.clone()).await {
            Err(error) if error.is_transient() => {
                state.set(Job { last_error: Some(chain(&error)), ..job.clone() });
                state.deps.clock.sleep(outages.fail()).await;
            }
            saved => return saved,
        }
    }
}

/// Reads one page and enqueues it; moves the job's cursor in memory.
async fn enqueue_page(state: &ReplayState, job: &mut Job) -> Result<(), ProjectorError> {
    wait_until_below(&*state.deps.queue, &*state.deps.clock, state.deps.options.queue_max).await?;
    let deps = &state.deps;
    // A slow replay enqueues one second's worth at a time, not a page followed by a long pause.
    let size = job.spec.per_s_max.map_or(deps.options.page, |per_s| deps.options.page.min(per_s.max(1) as usize));
    let page = page::read(&deps.database, deps.aim, &job.spec, &job.cursor, size, deps.clock.now_ms()).await?;
    if job.spec.empty && !page.existing.is_empty() {
        evict(state, &page.existing).await?;
    }
    if !page.work.is_empty() {
        deps.queue.put(page.work, None).await.during("enqueueing replayed documents")?;
    }
    job.done += page.rows;
    job.cursor = page.next;
    Ok(())
}

/// Removes cached bodies. Readers get these documents from the tables until they are rebuilt.
async fn evict(state: &ReplayState, documents: &[i64]) -> Result<(), ProjectorError> {
    const ACTION: &str = "removing cached bodies";
    let client = state.deps.database.get().await.during(ACTION)?;
    cache::evict(&client, documents).await.during(ACTION)?;
    Ok(())
}
