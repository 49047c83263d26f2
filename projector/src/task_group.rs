//! Tasks with one owner: started together, stopped together, waited for.

use crate::error::ProjectorError;
use futures::FutureExt;
use millstream_pipeline::error::chain;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

/// The deadline passed before every task had finished its current work.
#[derive(Debug, thiserror::Error)]
#[error(
    "the {group} tasks did not stop within the deadline and were aborted; nothing is lost, unfinished work is repeated"
)]
pub struct StopError {
    /// The group that was being waited for.
    pub group: &'static str,
}

/// The first failure after which a projector cannot continue.
#[derive(Debug, Clone)]
pub(crate) struct Fatal(watch::Sender<Option<Arc<str>>>);

impl Fatal {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.0.subscribe()
    }

    /// Returns the failure, if there was one.
    pub(crate) fn reason(&self) -> Option<String> {
        self.0.borrow().as_deref().map(str::to_owned)
    }

    fn report(&self, group: &'static str, problem: &str) {
        tracing::error!(problem, "task failed; it does not run again in this process");
        self.0.send_if_modified(|fatal| {
            let first = fatal.is_none();
            if first {
                *fatal = Some(format!("{group}: {problem}").into());
            }
            first
        });
    }
}

/// Completes with the first fatal failure; never completes without one. Cancellation safe.
pub(crate) async fn wait_fatal(fatal: &watch::Receiver<Option<Arc<str>>>) -> String {
    let mut fatal = fatal.clone();
    match fatal.wait_for(Option::is_some).await {
        Ok(reason) => reason.as_deref().unwrap_or_default().to_owned(),
        // All tasks ended without a failure: they were stopped.
        Err(_) => std::future::pending().await,
    }
}

/// A group of tasks, in one tracing span.
#[derive(Debug)]
pub(crate) struct TaskGroup {
    pub(crate) name: &'static str,
    pub(crate) stop: CancellationToken,
    span: Span,
    tracker: TaskTracker,
    aborts: Vec<AbortHandle>,
    fatal: Fatal,
}

impl TaskGroup {
    /// An empty group whose tasks run in `span`. Spans of tasks have the level `error`, so that the log names the task at
    /// every level.
    pub(crate) fn new(name: &'static str, span: Span, fatal: &Fatal) -> Self {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        Self { name, stop, span, tracker, aborts: Vec::new(), fatal: fatal.clone() }
    }

    /// Adds a task. An error or a panic of the task is reported as fatal; the other tasks continue.
    pub(crate) fn spawn<F>(&mut self, task: F)
    where
        F: Future<Output = Result<(), ProjectorError>> + Send + 'static,
    {
        let (fatal, name) = (self.fatal.clone(), self.name);
        let watched = async move {
            match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => fatal.report(name, &chain(&error)),
                Err(panic) => fatal.report(name, &panic_message(&*panic)),
            }
        };
        self.aborts.push(self.tracker.spawn(watched.instrument(self.span.clone())).abort_handle());
    }

    /// Stops the tasks and waits until the last one has ended.
    pub(crate) async fn drain(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Ends the tasks at their next await.
    pub(crate) fn abort(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.aborts.iter().for_each(AbortHandle::abort);
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a task panicked: {}", text.unwrap_or("no message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_reported_and_the_rest_is_drained() {
        let fatal = Fatal::new();
        let mut reported = fatal.subscribe();
        let mut group = TaskGroup::new("rebuild", Span::none(), &fatal);
        let stop = group.stop.clone();
        group.spawn(async move {
            stop.cancelled().await;
            Ok(())
        });
        group.spawn(async { panic!("made for a test") });
        let problem = reported.wait_for(Option::is_some).await.expect("the sender lives").clone();
        assert_eq!(problem.as_deref(), Some("rebuild: a task panicked: made for a test"));
        group.drain().await;
    }

    #[tokio::test]
    async fn aborting_ends_what_does_not_listen() {
        let fatal = Fatal::new();
        let mut group = TaskGroup::new("intake", Span::none(), &fatal);
        group.spawn(std::future::pending());
        group.abort();
        group.drain().await;
        assert!(fatal.subscribe().borrow().is_none(), "a stop is not a failure");
    }
}
