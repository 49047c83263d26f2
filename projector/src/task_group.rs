//! A group of tasks with one owner: started together, told to stop together, waited for, never left behind.

use crate::error::{ProjectorError, chain};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why a projector can no longer do its work: the first failure that nothing could be done about.
#[derive(Debug, Clone)]
pub(crate) struct Fatal(watch::Sender<Option<Arc<str>>>);

impl Fatal {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.0.subscribe()
    }

    /// Why, if so.
    pub(crate) fn reason(&self) -> Option<String> {
        self.0.borrow().as_deref().map(str::to_owned)
    }

    fn report(&self, stage: &'static str, problem: &str) {
        tracing::error!(stage, problem, "the projector cannot go on");
        self.0.send_if_modified(|fatal| {
            let first = fatal.is_none();
            if first {
                *fatal = Some(format!("{stage}: {problem}").into());
            }
            first
        });
    }
}

/// Completes when something is fatal, and says what. Never completes otherwise. Cancellation safe.
pub(crate) async fn wait_fatal(fatal: &watch::Receiver<Option<Arc<str>>>) -> String {
    let mut fatal = fatal.clone();
    match fatal.wait_for(Option::is_some).await {
        Ok(reason) => reason.as_deref().unwrap_or_default().to_owned(),
        // All tasks are gone without a complaint: they were stopped.
        Err(_) => std::future::pending().await,
    }
}

/// The tasks of one stage.
#[derive(Debug)]
pub(crate) struct TaskGroup {
    pub(crate) name: &'static str,
    pub(crate) stop: CancellationToken,
    tracker: TaskTracker,
    aborts: Vec<AbortHandle>,
    fatal: Fatal,
}

impl TaskGroup {
    pub(crate) fn new(name: &'static str, fatal: &Fatal) -> Self {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        Self { name, stop, tracker, aborts: Vec::new(), fatal: fatal.clone() }
    }

    /// Adds a task. If it fails or panics, that is reported; the other tasks go on with what they can do.
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
        self.aborts.push(self.tracker.spawn(watched).abort_handle());
    }

    /// Tells the tasks to stop and waits until the last one has.
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
        let mut stage = TaskGroup::new("rebuild", &fatal);
        let stop = stage.stop.clone();
        stage.spawn(async move {
            stop.cancelled().await;
            Ok(())
        });
        stage.spawn(async { panic!("made for a test") });
        let problem = reported.wait_for(Option::is_some).await.expect("the sender lives").clone();
        assert_eq!(problem.as_deref(), Some("rebuild: a task panicked: made for a test"));
        stage.drain().await;
    }

    #[tokio::test]
    async fn aborting_ends_what_does_not_listen() {
        let fatal = Fatal::new();
        let mut stage = TaskGroup::new("intake", &fatal);
        stage.spawn(std::future::pending());
        stage.abort();
        stage.drain().await;
        assert!(fatal.subscribe().borrow().is_none(), "being told to stop is no failure");
    }
}
