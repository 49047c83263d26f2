//! The checks of `/health/ready`.

use super::state::{ProcessState, RunningProcess};
use crate::failure::Failure;
use futures::future::BoxFuture;
use millstream_api::{Check, Probe};
use millstream_store::error::StoreError;
use std::sync::atomic::Ordering;

/// Returns the probe of `/health/ready`.
pub(crate) fn probe(state: &ProcessState) -> Probe {
    let state = state.clone();
    std::sync::Arc::new(move || -> BoxFuture<'static, Vec<Check>> {
        let state = state.clone();
        Box::pin(async move { checks(&state).await })
    })
}

async fn checks(state: &ProcessState) -> Vec<Check> {
    let checks = state.view(async |running| match running {
        Some(process) => {
            let mut checks = vec![database(process).await, projector(process).await];
            checks.extend(watchdog(process));
            checks
        }
        None => vec![check("process", Some("the process is starting or stopping"))],
    });
    checks.await
}

async fn database(process: &RunningProcess) -> Check {
    let ping = async {
        let client = process.database.get().await?;
        client.batch_execute("SELECT").await.map_err(StoreError::from)
    };
    match ping.await {
        Ok(()) => check("database", None),
        Err(error) => {
            tracing::warn!(error = %Failure::failed(error), "the database does not answer");
            check("database", Some("the database does not answer: see the log"))
        }
    }
}

/// Checks the projector. Without its source answers stay correct and only become slower, so a source that is away is not a
/// reason to be unready; a projector that stopped for good is.
async fn projector(process: &RunningProcess) -> Check {
    let Some(projector) = &process.projector else { return check("projector", None) };
    match projector.status().await {
        Ok(status) if status.fatal.is_none() => check("projector", None),
        Ok(_) => check("projector", Some("the projector has stopped: see the log")),
        Err(_) => check("projector", Some("the queue does not answer: see the log")),
    }
}

/// Checks that the watchdog knows of no mismatch, if the configuration says that one makes the process unready.
fn watchdog(process: &RunningProcess) -> Option<Check> {
    let open = process.mismatches.as_ref()?.load(Ordering::Relaxed);
    let problem = (open > 0).then_some("stored data does not agree: see `millstream incidents list --open`");
    Some(check("watchdog", problem))
}

fn check(name: &'static str, problem: Option<&str>) -> Check {
    Check { name, ok: problem.is_none(), detail: problem.map(str::to_owned) }
}
