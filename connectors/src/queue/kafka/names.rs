//! What the topics and groups of a queue are called.

use uuid::Uuid;

use super::options::KafkaQueueOptions;

/// The topics of the stage or of one lane, and the group that shares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// Where work waits.
    pub(super) work: String,
    /// Where quarantined entries stand.
    pub(super) quarantine: String,
    pub(super) group: String,
}

/// Where epoch, position and lanes stand.
pub(super) fn control(options: &KafkaQueueOptions) -> String {
    format!("{}.control", options.prefix)
}

pub(super) fn stage(options: &KafkaQueueOptions) -> Names {
    named(options, "work")
}

/// A lane that is removed and added again gets other topics: deleting a topic takes its time, and what a late member
/// still writes must not turn up in the new one.
pub(super) fn lane(options: &KafkaQueueOptions, name: &str, epoch: Uuid) -> Names {
    let generation = &epoch.simple().to_string()[..8];
    named(options, &format!("lane.{name}.{generation}"))
}

fn named(options: &KafkaQueueOptions, rest: &str) -> Names {
    let work = format!("{}.{rest}", options.prefix);
    Names { quarantine: format!("{work}.quarantine"), group: format!("{}.{rest}", options.group), work }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_of_one_name_are_told_apart_by_their_epochs() {
        let options = KafkaQueueOptions { group: "g".to_owned(), ..KafkaQueueOptions::new("b", "district") };
        assert_eq!(control(&options), "district.control");
        let stage = stage(&options);
        assert_eq!((&*stage.work, &*stage.quarantine), ("district.work", "district.work.quarantine"));
        let lane = lane(&options, "search", Uuid::from_u128(0xab << 120));
        assert_eq!((&*lane.work, &*lane.group), ("district.lane.search.ab000000", "g.lane.search.ab000000"));
    }
}
