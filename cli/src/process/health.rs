//! The checks of `/health/ready`.

use super::{
    pools::CONTROL_LIMIT,
    state::{ProcessState, RunningProcess},
};
use crate::failure::Failure;
use futures::future::BoxFuture;
use millstream_api::{Check, Probe};
use millstream_store::{
    error::{ErrorKind, StoreError},
    table::server,
};
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
    match tokio::time::timeout(CONTROL_LIMIT, is_read_only(process)).await {
        Ok(Ok(false)) => check("database", None),
        Ok(Ok(true)) => {
            tracing::warn!("the database is read-only: it is a standby, or default_transaction_read_only is on");
            check("database", Some("the database is read-only: writes are refused until it accepts them again"))
        }
        Ok(Err(error)) => {
            let problem = match error.kind() {
                ErrorKind::Connect => "no connection to the database can be opened: see the log",
                _ => "the database does not answer: see the log",
            };
            tracing::warn!(error = %Failure::failed(error), "the database check failed");
            check("database", Some(problem))
        }
        Err(_) => {
            tracing::warn!(limit = ?CONTROL_LIMIT, "the database did not answer the check in time");
            check("database", Some("the database does not answer: see the log"))
        }
    }
}

/// Whether the database refuses writes.
async fn is_read_only(process: &RunningProcess) -> Result<bool, StoreError> {
    let client = process.pools.control.get().await?;
    let read_only = server::is_read_only(&client).await?;
    if read_only {
        // The next check opens another session: this one keeps the setting that it started with.
        client.discard();
    }
    Ok(read_only)
}

/// Checks the projector. Without its source answers stay correct and only become slower, so a source that is away is not a
/// reason to be unready; a projector that stopped for good is.
async fn projector(process: &RunningProcess) -> Check {
    let Some(projector) = &process.projector else { return check("projector", None) };
    match projector.check().await {
        Ok(None) => check("projector", None),
        Ok(Some(_)) => check("projector", Some("the projector has stopped: see the log")),
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
