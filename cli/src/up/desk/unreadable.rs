//! Records of the queue that nobody could read: what they are, and letting go of them. What they asked for is not known,
//! so there is nothing to try again; comparing finds out what is missing because of them.

use super::{Spot, spots};
use crate::{control::Place, failure::Failure, up::board::About};
use millstream_pipeline::queue::Unreadable;
use serde_json::{Value, json};

fn row(spot: &Spot, record: &Unreadable) -> Value {
    json!({"place": spot.name, "record": record.place, "reason": record.reason, "bytes": record.value.len()})
}

/// All of them, for the list of what is in quarantine.
pub(super) async fn rows(spot: &Spot) -> Result<Vec<Value>, Failure> {
    let all = spot.queue.unreadable().await.map_err(Failure::failed)?;
    Ok(all.iter().map(|record| row(spot, record)).collect())
}

/// One of them with its content.
pub(super) async fn show(about: &About, place: Option<&Place>, record: &str) -> Result<Value, Failure> {
    for spot in spots(about, place).await? {
        let all = spot.queue.unreadable().await.map_err(Failure::failed)?;
        if let Some(found) = all.iter().find(|found| found.place == record) {
            let mut shown = row(&spot, found);
            shown["content"] = json!(found.value.escape_ascii().to_string());
            return Ok(json!({"quarantined": [], "unreadable": [shown]}));
        }
    }
    Err(unknown())
}

/// Lets go of them for good.
pub(super) async fn skip(about: &About, place: Option<&Place>, records: Vec<String>) -> Result<Value, Failure> {
    let mut skipped = 0;
    for spot in spots(about, place).await? {
        skipped += spot.queue.discard_unreadable(records.clone()).await.map_err(Failure::failed)?;
    }
    if skipped == 0 { Err(unknown()) } else { Ok(json!({"skipped": skipped})) }
}

fn unknown() -> Failure {
    Failure::usage("no such record is kept: see `millstream quarantine list`")
}
