//! Following the lanes of the queue as any process adds and removes them, and restarting failed delivery workers.

use super::deps::{SinkManagerDeps, SinkManagerError};
use super::report::LaneStatus;
use super::runtime::SinkRuntime;
use crate::metrics::export;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The names of all lanes, as they were last read.
pub(super) type KnownLanes = Arc<Mutex<Vec<String>>>;

/// Starts runtimes for lanes that this process serves and that have none, and drops those of removed lanes.
pub(super) async fn adopt(
    deps: &SinkManagerDeps,
    runtimes: &mut BTreeMap<String, SinkRuntime>,
    known: &KnownLanes,
) -> Result<(), SinkManagerError> {
    let lanes = deps.lanes.lanes().await?;
    *known.lock() = lanes.iter().map(|lane| lane.name.clone()).collect();
    let gone = |(name, runtime): &(&String, &SinkRuntime)| {
        !lanes.iter().any(|lane| lane.name == **name && lane.epoch == runtime.lane.epoch())
    };
    let removed: Vec<String> = runtimes.iter().filter(gone).map(|(name, _)| name.clone()).collect();
    for name in removed {
        // Dropping a runtime ends its tasks; its lane is gone, so no work is left. A lane of the same name that was
        // added since is another lane, and is started below.
        runtimes.remove(&name);
        export::lane(&LaneStatus::removed(&name));
    }
    // A worker that has given up delivers nothing more, even if the cause has passed.
    let mut given_up = Vec::new();
    for (name, runtime) in runtimes.iter() {
        if runtime.has_given_up(name).await {
            tracing::warn!(sink = name, "delivery worker stopped after a failure; restarting it");
            given_up.push(name.clone());
        }
    }
    given_up.iter().for_each(|name| drop(runtimes.remove(name)));
    for info in lanes {
        if (deps.serves)(&info.name)
            && !runtimes.contains_key(&info.name)
            && let Some(lane) = deps.lanes.lane(&info.name).await?
        {
            runtimes.insert(info.name.clone(), SinkRuntime::open(deps, &info.name, lane).await?);
        }
    }
    Ok(())
}
