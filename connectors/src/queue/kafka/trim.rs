//! Removing finished records from the topics of the stage and the lanes. Nothing is removed because it is old or much:
//! what nobody has finished stays for as long as that takes, and what is finished and committed is of no use to anybody.

use std::collections::BTreeMap;

use millstream_pipeline::queue::QueueError;
use rdkafka::{Offset, TopicPartitionList};

use super::station::Station;
use super::topics;
use crate::kafka::errors::describe;

/// Removes what the group has committed of this member's partitions since the last time. A broker that refuses costs disk and nothing else.
pub(super) async fn trim(station: &Station, trimmed: &mut BTreeMap<i32, i64>) -> Result<(), QueueError> {
    let owned: Vec<i32> = station.window().reads().map(|(partition, _)| partition).collect();
    if owned.is_empty() {
        return Ok(());
    }
    let committed = station.quarantine.committed(station.names.work.clone(), owned).await?;
    let committed: BTreeMap<i32, i64> =
        committed.into_iter().filter_map(|(partition, offset)| Some((partition, offset?))).collect();
    let mut list = TopicPartitionList::new();
    for (partition, offset) in committed.iter().filter(|(partition, offset)| trimmed.get(partition) != Some(offset)) {
        let added = list.add_partition_offset(&station.names.work, *partition, Offset::Offset(*offset));
        added.map_err(topics::unusable)?;
    }
    if list.count() == 0 {
        return Ok(());
    }
    let (options, observer) = (&station.common.options, &station.common.observer);
    let removed = topics::admin(options, observer)?.delete_records(&list, &topics::limit(options)).await;
    let refused = match removed {
        Ok(removed) => removed.elements().iter().find_map(|element| element.error().err()),
        Err(error) => Some(error),
    };
    match refused {
        None => *trimmed = committed,
        Some(error) => {
            let problem = observer.explain(&describe(&error));
            tracing::warn!(topic = %station.work_topic, problem, "finished records could not be removed: trying again later");
        }
    }
    Ok(())
}
