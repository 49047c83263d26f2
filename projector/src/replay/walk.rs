//! The walk itself: page after page into the queue, at its rate, until the end or until it is told to stop.

use super::job::Place;
use super::{Job, JobState, LedgerError, ReplayError, Shared, page};
use crate::error::{ProjectorError, chain};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often a long queue is looked at again.
const POLL: Duration = Duration::from_millis(50);

/// Walks until the end, a failure that trying again cannot mend, or `stop`. The job says how it ended.
pub(super) async fn walk(shared: &Shared, stop: &CancellationToken) {
    let Some(mut job) = shared.job() else { return };
    let walked = stop.run_until_cancelled(walk_job(shared, &mut job)).await;
    let now_ms = shared.deps.clock.now_ms();
    match walked {
        // It goes on with the next start.
        None => return,
        Some(Ok(())) => job.end(JobState::Done, now_ms),
        Some(Err(error)) => {
            let problem = chain(&error);
            tracing::error!(problem, "a replay cannot go on");
            job.last_error = Some(problem);
            job.end(JobState::Failed, now_ms);
        }
    }
    let (state, done, took_ms) = (job.state, job.done, now_ms.saturating_sub(job.started_at_ms));
    tracing::info!(?state, done, took_ms, "a replay has ended");
    shared.set(job.clone());
    let kept = stop.run_until_cancelled(keep(shared, &job)).await;
    if let Some(Err(error)) = kept {
        // A removed lane has taken its note with it.
        tracing::warn!(problem = chain(&error), "the end of a replay could not be stored");
    }
}

async fn walk_job(shared: &Shared, job: &mut Job) -> Result<(), ReplayError> {
    let (deps, mut outages) = (&shared.deps, 0);
    // Entries and time since the walk began here, not before a restart: the rate is not caught up with.
    let (began_ms, began_at) = (deps.clock.now_ms(), job.done);
    while job.place != Place::End {
        match next_page(shared, job).await {
            Ok(()) => outages = 0,
            Err(error) if error.is_fatal_queue() => return Err(error.into()),
            Err(error) => {
                outages += 1;
                job.last_error = Some(chain(&error));
                shared.set(job.clone());
                deps.clock.sleep(deps.options.outage_backoff.delay(outages)).await;
                continue;
            }
        }
        keep(shared, job).await?;
        if let Some(per_s) = job.spec.per_s_max.filter(|per_s| *per_s > 0) {
            let due_ms = began_ms + (job.done - began_at).saturating_mul(1_000) / u64::from(per_s);
            deps.clock.sleep(Duration::from_millis(due_ms.saturating_sub(deps.clock.now_ms()))).await;
        }
    }
    Ok(())
}

/// Stores how far it is. A queue that does not answer is waited for: the walk cannot go on without, and has not failed.
async fn keep(shared: &Shared, job: &Job) -> Result<(), LedgerError> {
    let mut outages = 0;
    loop {
        match shared.keep(job.clone()).await {
            Err(error) if error.may_pass() => {
                outages += 1;
                shared.set(Job { last_error: Some(chain(&error)), ..job.clone() });
                shared.deps.clock.sleep(shared.deps.options.outage_backoff.delay(outages)).await;
            }
            ended => return ended,
        }
    }
}

async fn next_page(shared: &Shared, job: &mut Job) -> Result<(), ProjectorError> {
    wait_for_room(shared).await?;
    put_page(shared, job).await
}

/// Reads one page and owes it; moves the job's place in memory.
async fn put_page(shared: &Shared, job: &mut Job) -> Result<(), ProjectorError> {
    let deps = &shared.deps;
    // A slow replay puts a second's worth at a time, not a page and then a long silence.
    let page = job.spec.per_s_max.map_or(deps.options.page, |per_s| deps.options.page.min(per_s.max(1) as usize));
    let page = page::read(&deps.database, deps.aim, &job.spec, &job.place, page, deps.clock.now_ms()).await?;
    if job.spec.empty && !page.living.is_empty() {
        empty(shared, &page.living).await?;
    }
    if !page.work.is_empty() {
        deps.queue.put(page.work, None).await.map_err(ProjectorError::queue("putting replayed documents"))?;
    }
    job.done += page.rows;
    job.place = page.next;
    Ok(())
}

/// Removes cached bodies. Readers are answered from the tables until they are made again.
async fn empty(shared: &Shared, documents: &Vec<i64>) -> Result<(), ProjectorError> {
    const ACTION: &str = "removing cached bodies";
    const SQL: &str = r#"DELETE FROM "dms"."DocumentCache" WHERE "DocumentId" = ANY((SELECT $1::int8[])::int8[])"#;
    let client = shared.deps.database.get().await.map_err(ProjectorError::database(ACTION))?;
    client.execute(SQL, &[documents]).await.map_err(ProjectorError::database(ACTION))?;
    Ok(())
}

async fn wait_for_room(shared: &Shared) -> Result<(), ProjectorError> {
    let deps = &shared.deps;
    loop {
        let stats = deps.queue.stats().await.map_err(ProjectorError::queue("reading how much waits"))?;
        if stats.depth <= deps.options.queue_max {
            return Ok(());
        }
        deps.clock.sleep(POLL).await;
    }
}
