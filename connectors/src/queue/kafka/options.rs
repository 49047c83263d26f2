//! Where the topics of the queue are, and how a process takes part in them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millstream_pipeline::binding::Binding;
use millstream_pipeline::clock::{Clock, SystemClock};
use millstream_pipeline::queue::QueueError;

use crate::kafka::properties::{ANSWER_TIMEOUT, is_topic_name, property_fault};

/// Lanes and quarantines are named after the prefix; the longest of them has to be the name of a topic.
const PREFIX_BYTES_MAX: usize = 150;
const SESSION_TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_secs(6)..=Duration::from_secs(300);
/// librdkafka gives a member that does not come back for so long out of its group.
pub(super) const POLL_INTERVAL_MAX: Duration = Duration::from_secs(300);

/// A queue in Kafka and the way to it. All processes that share it are given the same topics and the same group.
#[derive(Clone)]
pub struct KafkaQueueOptions {
    /// `host:port,host:port`.
    pub bootstrap_servers: String,
    /// What the names of all topics begin with.
    pub prefix: String,
    /// What the names of all consumer groups begin with.
    pub group: String,
    /// Partitions of the work topic and of each lane, not to be changed while there is work. No more members than that
    /// have something to do.
    pub partitions: u32,
    /// Copies of each partition.
    pub replication: u32,
    /// Copies that have to have a record before it counts as written (`min.insync.replicas`).
    pub in_sync_min: u32,
    /// Whether topics that are not there are made.
    pub create_topics: bool,
    /// After what silence a member is taken for dead and its partitions are given to others: 6 s to 5 min.
    pub session_timeout: Duration,
    /// For how long a member that has to let go of a partition waits for what it has in flight of it; less than 5 min.
    pub drain_deadline: Duration,
    /// How often what is finished is committed.
    pub commit_interval: Duration,
    /// How often what is committed is removed from the topics.
    pub trim_interval: Duration,
    /// Entries that a member has in hand, ready or in flight, before it reads no more.
    pub window_max: usize,
    /// Entries beside them that wait for a time.
    pub delayed_max: usize,
    /// How many records behind the last one read an entry may hold its partition before it is written again.
    pub held_behind_max: u32,
    /// Attempts before a document goes into quarantine.
    pub attempts_max: u32,
    /// For how long to wait for an answer of the brokers, 1 s to 5 min.
    pub answer_timeout: Duration,
    /// More properties of librdkafka: SASL, TLS, compression. Their values are never printed.
    pub properties: BTreeMap<String, String>,
    /// The database whose work it holds; without one it is not asked whose work that is.
    pub binding: Option<Binding>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl KafkaQueueOptions {
    /// Options with the usual figures, for topics of 12 partitions and one copy.
    pub fn new(bootstrap_servers: impl Into<String>, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            group: prefix.clone(),
            prefix,
            partitions: 12,
            replication: 1,
            in_sync_min: 1,
            create_topics: true,
            session_timeout: Duration::from_secs(30),
            drain_deadline: Duration::from_secs(10),
            commit_interval: Duration::from_millis(500),
            trim_interval: Duration::from_secs(60),
            window_max: 20_000,
            delayed_max: 100_000,
            held_behind_max: 20_000,
            attempts_max: 8,
            answer_timeout: Duration::from_secs(30),
            properties: BTreeMap::new(),
            binding: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// Everything that is wrong with them, at once.
    pub(super) fn check(&self) -> Result<(), QueueError> {
        let mut faults = Vec::new();
        if self.bootstrap_servers.trim().is_empty() {
            faults.push("no brokers are given: set the bootstrap servers to host:port".to_owned());
        }
        for (what, name) in [("prefix", &self.prefix), ("group", &self.group)] {
            if !is_topic_name(name) || name.len() > PREFIX_BYTES_MAX {
                faults.push(format!(
                    "the {what} {name:?} cannot be: 1 to {PREFIX_BYTES_MAX} letters, digits, '.', '_', '-'"
                ));
            }
        }
        let counts = 1..=i32::MAX.cast_unsigned();
        if !counts.contains(&self.partitions) || !counts.contains(&self.replication) {
            faults.push("a topic has at least one partition and one copy".to_owned());
        }
        if self.in_sync_min == 0 || self.in_sync_min > self.replication {
            let (least, copies) = (self.in_sync_min, self.replication);
            faults.push(format!("{least} of {copies} copies in sync cannot be asked for: 1 to {copies}"));
        }
        if !SESSION_TIMEOUT.contains(&self.session_timeout) {
            faults.push(format!("a session ends after 6 s to 5 min of silence, not after {:?}", self.session_timeout));
        }
        if self.drain_deadline >= POLL_INTERVAL_MAX {
            faults.push(format!("a partition is let go of within 5 min, not {:?}", self.drain_deadline));
        }
        if !ANSWER_TIMEOUT.contains(&self.answer_timeout) {
            faults.push(format!("answers are waited for from 1 s to 5 min, not {:?}", self.answer_timeout));
        }
        if [self.window_max, self.delayed_max].contains(&0) {
            faults.push("a member has room for one entry at least, ready and delayed".to_owned());
        }
        faults.extend(self.properties.keys().filter_map(|name| property_fault(name)));
        let what = "the options of the queue in Kafka".to_owned();
        if faults.is_empty() { Ok(()) } else { Err(QueueError::Unfit { what, differences: faults }) }
    }
}

/// Names only: any value may be a secret.
impl fmt::Debug for KafkaQueueOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaQueueOptions")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("prefix", &self.prefix)
            .field("group", &self.group)
            .field("partitions", &self.partitions)
            .field("replication", &self.replication)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named_at_once() {
        let options = KafkaQueueOptions::new("127.0.0.1:9092", "millstream");
        assert!(options.check().is_ok());
        let properties = [("group.id", "x"), ("sasl.password", "pässword"), ("sasl.pasword", "hunter2")];
        let wrong = KafkaQueueOptions {
            bootstrap_servers: " ".to_owned(),
            prefix: "a b".to_owned(),
            in_sync_min: 2,
            session_timeout: Duration::from_secs(1),
            drain_deadline: POLL_INTERVAL_MAX,
            answer_timeout: Duration::ZERO,
            window_max: 0,
            properties: properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..options
        };
        let Err(QueueError::Unfit { differences, .. }) = wrong.check() else { panic!("accepted") };
        assert_eq!(differences.len(), 9, "{differences:?}");
        let text = format!("{differences:?} {wrong:?}");
        assert!(text.contains("group.id is set") && text.contains("sasl.pasword is not known"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("pässword"), "{text}");
    }
}
