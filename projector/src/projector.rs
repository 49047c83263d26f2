//! Starting and stopping a projector.

use crate::context::{Context, Deps};
use crate::error::{During, ProjectorError};
use crate::options::Part;
use crate::status::ProjectorStatus;
use crate::task_group::{Fatal, StopError, TaskGroup, wait_fatal};
use crate::{cascade, intake, rebuild, sampler};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::error_span;

/// Starts projectors.
#[derive(Debug)]
pub struct Projector;

/// A running projector.
///
/// Dropping it ends its tasks at their next await. That loses nothing: accepted changes are in the queue, and unsettled
/// entries are processed again. [`ProjectorHandle::stop`] lets the tasks finish their current work.
pub struct ProjectorHandle {
    context: Arc<Context>,
    /// In the order in which they are drained.
    groups: Vec<TaskGroup>,
    fatal: watch::Receiver<Option<Arc<str>>>,
}

impl Projector {
    /// Starts all tasks of `deps.options.part` and returns immediately. Call it within a tokio runtime.
    ///
    /// An unreachable database or source does not fail the start: it is retried and shown by
    /// [`ProjectorHandle::status`]. A failure that a retry cannot fix is reported by [`ProjectorHandle::fatal`].
    pub fn start(deps: Deps) -> ProjectorHandle {
        crate::metrics::describe();
        let context = Arc::new(Context::new(deps));
        let fatal = Fatal::new();
        let options = context.options();
        let source = context.deps.source.stream();

        let (follows, works) = (options.part != Part::Work, options.part != Part::Intake);
        let workers = |wanted: usize| if works { wanted.max(1) } else { 0 };

        let mut intake = TaskGroup::new("intake", error_span!("task", task = "intake", %source), &fatal);
        if follows {
            let (task, stop) = (Arc::clone(&context), intake.stop.clone());
            intake.spawn(async move { intake::follow::follow(&task, &stop).await });
            let (task, stop) = (Arc::clone(&context), intake.stop.clone());
            intake.spawn(async move { intake::progress::keep(&task, &stop).await });
        }
        let mut cascade = TaskGroup::new("cascade", error_span!("task", task = "cascade"), &fatal);
        for _ in 0..workers(options.cascade_workers) {
            let (task, stop) = (Arc::clone(&context), cascade.stop.clone());
            cascade.spawn(async move { cascade::work(&task, &stop).await });
        }
        let mut rebuild = TaskGroup::new("rebuild", error_span!("task", task = "rebuild"), &fatal);
        for _ in 0..workers(options.rebuild_workers) {
            let (task, stop) = (Arc::clone(&context), rebuild.stop.clone());
            rebuild.spawn(async move { rebuild::worker::work(&task, &stop).await });
        }
        let mut sampler = TaskGroup::new("sampler", error_span!("task", task = "sampler"), &fatal);
        let (task, stop, reported) = (Arc::clone(&context), sampler.stop.clone(), fatal.clone());
        sampler.spawn(async move { sampler::measure(&task, &reported, &stop).await });

        let groups = vec![intake, cascade, rebuild, sampler];
        ProjectorHandle { context, groups, fatal: fatal.subscribe() }
    }
}

impl ProjectorHandle {
    /// Measures and returns the projector's status.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn status(&self) -> Result<ProjectorStatus, ProjectorError> {
        let fatal = self.fatal.borrow().as_deref().map(str::to_owned);
        sampler::status(&self.context, fatal).await
    }

    /// Returns why the projector cannot continue, if it cannot. Asks the queue, and not the database.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn check(&self) -> Result<Option<String>, ProjectorError> {
        self.context.deps.queue.stats().await.during("reading the queue's counters")?;
        Ok(self.fatal.borrow().as_deref().map(str::to_owned))
    }

    /// Completes with the reason once the projector cannot continue; the process should then stop it and exit. Never
    /// completes otherwise. Cancellation safe.
    pub async fn fatal(&self) -> String {
        wait_fatal(&self.fatal).await
    }

    /// Stops in this order: the intake (it confirms the last durable position to the source), the cascade workers (each
    /// finishes its page), the rebuild workers (each settles its batch), the sampler. The queue is not drained: it is
    /// durable, and the next start continues with it.
    ///
    /// # Errors
    /// When `deadline` passes first. The remaining tasks are then aborted, and have ended when this returns.
    pub async fn stop(self, deadline: Duration) -> Result<(), StopError> {
        let mut late = self.context.deps.clock.sleep(deadline);
        for (at, group) in self.groups.iter().enumerate() {
            let drained = tokio::select! {
                () = group.drain() => true,
                () = &mut late => false,
            };
            if drained {
                continue;
            }
            for group in &self.groups[at..] {
                group.abort();
                group.drain().await;
            }
            return Err(StopError { group: group.name });
        }
        Ok(())
    }
}

impl Drop for ProjectorHandle {
    fn drop(&mut self) {
        self.groups.iter().for_each(TaskGroup::abort);
    }
}

impl fmt::Debug for ProjectorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectorHandle").field("deps", &self.context.deps).finish_non_exhaustive()
    }
}
