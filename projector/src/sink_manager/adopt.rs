//! The lanes of the queue as they come and go, whoever adds and removes them: taken up, let go, and begun again where the
//! courier gave up.

use super::runtime::SinkRuntime;
use super::{LaneStatus, SinkManagerDeps, SinkManagerError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The names of all lanes, as they were seen last.
pub(super) type Seen = Arc<Mutex<Vec<String>>>;

/// Takes up the lanes that are to be served and are not, and lets go of those that are gone.
pub(super) async fn adopt(
    deps: &SinkManagerDeps,
    berths: &mut BTreeMap<String, SinkRuntime>,
    seen: &Seen,
) -> Result<(), SinkManagerError> {
    let lanes = deps.lanes.lanes().await?;
    see(seen, lanes.iter().map(|lane| lane.name.clone()).collect());
    let gone = |(name, berth): &(&String, &SinkRuntime)| {
        !lanes.iter().any(|lane| lane.name == **name && lane.epoch == berth.lane.epoch())
    };
    let removed: Vec<String> = berths.iter().filter(gone).map(|(name, _)| name.clone()).collect();
    for name in removed {
        // Dropping a berth ends its tasks; its lane is gone, so there is nothing to finish. A lane of the same name that
        // was added since is another one, and is taken up below.
        berths.remove(&name);
        LaneStatus::forget(&name);
    }
    // A courier that gave up delivers nothing more, whatever has become of the cause.
    let mut given_up = Vec::new();
    for (name, berth) in berths.iter() {
        if berth.has_given_up(name).await {
            tracing::warn!(sink = name, "deliveries to this sink had ended and are begun again");
            given_up.push(name.clone());
        }
    }
    given_up.iter().for_each(|name| drop(berths.remove(name)));
    for info in lanes {
        if (deps.serves)(&info.name)
            && !berths.contains_key(&info.name)
            && let Some(lane) = deps.lanes.lane(&info.name).await?
        {
            berths.insert(info.name.clone(), SinkRuntime::open(deps, &info.name, lane).await?);
        }
    }
    Ok(())
}

pub(super) fn see(seen: &Seen, names: Vec<String>) {
    *seen.lock().unwrap_or_else(PoisonError::into_inner) = names;
}
