//! The projector as a whole: its tasks, who owns them, and how they end.

use crate::context::{Context, Deps};
use crate::error::ProjectorError;
use crate::options::Part;
use crate::status::ProjectorStatus;
use crate::task_group::{Fatal, TaskGroup, wait_fatal};
use crate::{cascade, intake, rebuild, sampler};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Starts projectors.
#[derive(Debug)]
pub struct Projector;

/// A projector that runs. Dropping it ends its tasks at their next await, which loses nothing: whatever was accepted is
/// in the queue, whatever was not settled is done again. [`ProjectorHandle::stop`] ends it in good order.
pub struct ProjectorHandle {
    context: Arc<Context>,
    /// In the order in which they are drained.
    groups: Vec<TaskGroup>,
    fatal: watch::Receiver<Option<Arc<str>>>,
}

/// The deadline passed before every task had finished what it had in hand.
#[derive(Debug, thiserror::Error)]
#[error(
    "the projector did not stop in time: {group} was still busy and was cut off; nothing is lost, but work is repeated"
)]
pub struct StopError {
    /// The group that was being waited for.
    pub group: &'static str,
}

impl Projector {
    /// Starts everything and returns at once. Must be called within a tokio runtime.
    ///
    /// Nothing that can fail for a while fails the start: a database or a source that is away is tried again, and shows in
    /// [`ProjectorHandle::status`]. What cannot be mended by trying again shows in [`ProjectorHandle::fatal`].
    pub fn start(deps: Deps) -> ProjectorHandle {
        crate::metrics::describe();
        let context = Arc::new(Context::new(deps));
        let fatal = Fatal::new();
        let options = context.options();

        let (follows, works) = (options.part != Part::Work, options.part != Part::Intake);
        let workers = |wanted: usize| if works { wanted.max(1) } else { 0 };

        let mut taking_in = TaskGroup::new("intake", &fatal);
        if follows {
            let (task, stop) = (Arc::clone(&context), taking_in.stop.clone());
            taking_in.spawn(async move { intake::follow(&task, &stop).await });
            let (task, stop) = (Arc::clone(&context), taking_in.stop.clone());
            taking_in.spawn(async move { intake::keep(&task, &stop).await });
        }
        let mut cascading = TaskGroup::new("cascade", &fatal);
        for _ in 0..workers(options.cascade_workers) {
            let (task, stop) = (Arc::clone(&context), cascading.stop.clone());
            cascading.spawn(async move { cascade::work(&task, &stop).await });
        }
        let mut rebuilding = TaskGroup::new("rebuild", &fatal);
        for _ in 0..workers(options.rebuild_workers) {
            let (task, stop) = (Arc::clone(&context), rebuilding.stop.clone());
            rebuilding.spawn(async move { rebuild::work(&task, &stop).await });
        }
        let mut measuring = TaskGroup::new("sampler", &fatal);
        let (task, stop, told) = (Arc::clone(&context), measuring.stop.clone(), fatal.clone());
        measuring.spawn(async move { sampler::measure(&task, &told, &stop).await });

        let groups = vec![taking_in, cascading, rebuilding, measuring];
        ProjectorHandle { context, groups, fatal: fatal.subscribe() }
    }
}

impl ProjectorHandle {
    /// How it is doing, asked now.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn status(&self) -> Result<ProjectorStatus, ProjectorError> {
        let fatal = self.fatal.borrow().as_deref().map(str::to_owned);
        sampler::status(&self.context, fatal).await
    }

    /// Completes when the projector can no longer do its work, and says why. Whoever runs it should stop it and end the
    /// process. Never completes otherwise. Cancellation safe.
    pub async fn fatal(&self) -> String {
        wait_fatal(&self.fatal).await
    }

    /// Stops in this order: the intake (the source is told of the last durable position), the cascade workers (each
    /// finishes its page), the rebuild workers (each settles its batch), the sampler. The queue is not emptied: it is on
    /// disk, and the next start goes on with it.
    ///
    /// # Errors
    /// When `deadline` passes first. The tasks are cut off then, and gone when this returns all the same.
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
