//! Options of the Kafka queue, and what follows from them: names of topics and groups, and client configurations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millstream_pipeline::binding::Binding;
use millstream_pipeline::clock::{Clock, SystemClock};
use millstream_pipeline::queue::QueueError;
use rdkafka::config::ClientConfig;
use uuid::Uuid;

use crate::kafka::client::connection;
use crate::kafka::properties::{ANSWER_TIMEOUT, is_topic_name, property_fault};

/// Names of lanes and quarantines are added to the prefix; the longest result has to be a valid topic name.
const PREFIX_BYTES_MAX: usize = 150;
const SESSION_TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_secs(6)..=Duration::from_secs(300);
/// A member that does not poll for so long leaves its group (`max.poll.interval.ms`).
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(300);
/// Longest interval between heartbeats of a member.
const HEARTBEAT_MAX: Duration = Duration::from_secs(3);
/// Records that a consumer fetches ahead of being polled.
const READ_AHEAD_KIB: usize = 4_096;

/// A queue in Kafka and the way to it. All processes that share the queue use the same topics and the same group.
#[derive(Clone)]
pub struct KafkaQueueOptions {
    /// `host:port,host:port`.
    pub bootstrap_servers: String,
    /// Prefix of the names of all topics.
    pub prefix: String,
    /// Prefix of the names of all consumer groups.
    pub group: String,
    /// Partitions of the work topic and of each lane; not to be changed while there is work. Bounds the number of
    /// members that have something to do.
    pub partitions: u32,
    /// Copies of each partition.
    pub replication: u32,
    /// Copies that must have a record before it counts as written (`min.insync.replicas`).
    pub in_sync_min: u32,
    /// Creates topics that do not exist.
    pub create_topics: bool,
    /// Silence after which a member is considered dead and its partitions are given to others: 6 s to 5 min.
    pub session_timeout: Duration,
    /// How long a member waits for in-flight entries of a partition that is revoked; less than 5 min.
    pub drain_deadline: Duration,
    /// Interval between commits of finished records.
    pub commit_interval: Duration,
    /// Interval between truncations of the topics to the committed offsets.
    pub trim_interval: Duration,
    /// Entries, ready or in flight, at which a member stops reading.
    pub window_max: usize,
    /// Delayed entries, beside those of `window_max`, at which a member stops reading.
    pub delayed_max: usize,
    /// How many records an entry may hold its partition behind the last one read before it is written again.
    pub held_behind_max: u32,
    /// Attempts before a document goes into quarantine.
    pub attempts_max: u32,
    /// How long to wait for a response of the brokers: 1 s to 5 min.
    pub answer_timeout: Duration,
    /// Further properties of librdkafka: SASL, TLS, compression. Their values are never printed.
    pub properties: BTreeMap<String, String>,
    /// The database that the queue belongs to; `None` skips the check.
    pub binding: Option<Binding>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// The topics of the cache queue or of one lane, and the group that consumes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicNames {
    pub(super) work: String,
    pub(super) quarantine: String,
    pub(super) group: String,
}

impl KafkaQueueOptions {
    /// Returns options with the default figures, for topics of 12 partitions and one copy.
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

    /// Checks the options; the error lists every fault.
    pub(super) fn check(&self) -> Result<(), QueueError> {
        let mut faults = Vec::new();
        if self.bootstrap_servers.trim().is_empty() {
            faults.push("no brokers are given: set the bootstrap servers to host:port".to_owned());
        }
        for (what, name) in [("prefix", &self.prefix), ("group", &self.group)] {
            if !is_topic_name(name) || name.len() > PREFIX_BYTES_MAX {
                faults.push(format!(
                    "invalid {what} {name:?}: use 1 to {PREFIX_BYTES_MAX} letters, digits, '.', '_', '-'"
                ));
            }
        }
        let counts = 1..=i32::MAX.cast_unsigned();
        if !counts.contains(&self.partitions) || !counts.contains(&self.replication) {
            faults.push("a topic needs at least one partition and one copy".to_owned());
        }
        if self.in_sync_min == 0 || self.in_sync_min > self.replication {
            let (least, copies) = (self.in_sync_min, self.replication);
            faults.push(format!("invalid number of copies in sync {least} of {copies}: use 1 to {copies}"));
        }
        if !SESSION_TIMEOUT.contains(&self.session_timeout) {
            faults.push(format!("invalid session timeout {:?}: use 6 s to 5 min", self.session_timeout));
        }
        if self.drain_deadline >= POLL_INTERVAL_MAX {
            faults.push(format!("invalid drain deadline {:?}: use less than 5 min", self.drain_deadline));
        }
        if !ANSWER_TIMEOUT.contains(&self.answer_timeout) {
            faults.push(format!("invalid answer timeout {:?}: use 1 s to 5 min", self.answer_timeout));
        }
        if [self.window_max, self.delayed_max].contains(&0) {
            faults.push("the window needs space for at least one entry, ready and delayed".to_owned());
        }
        faults.extend(self.properties.keys().filter_map(|name| property_fault(name)));
        let what = "the options of the queue in Kafka".to_owned();
        if faults.is_empty() { Ok(()) } else { Err(QueueError::Incompatible { what, differences: faults }) }
    }

    /// Returns the name of the topic with epoch, position and lanes.
    pub(super) fn control_topic(&self) -> String {
        format!("{}.control", self.prefix)
    }

    /// Returns the names of the cache queue.
    pub(super) fn cache_queue_names(&self) -> TopicNames {
        self.topic_names("work")
    }

    /// Returns the names of a lane. A lane that is removed and added again gets other topics: deleting a topic takes
    /// time, and records that a late member still writes to the old one must not appear in the new one.
    pub(super) fn lane_names(&self, name: &str, epoch: Uuid) -> TopicNames {
        let generation = &epoch.simple().to_string()[..8];
        self.topic_names(&format!("lane.{name}.{generation}"))
    }

    fn topic_names(&self, rest: &str) -> TopicNames {
        let work = format!("{}.{rest}", self.prefix);
        TopicNames { quarantine: format!("{work}.quarantine"), group: format!("{}.{rest}", self.group), work }
    }

    /// Returns the configuration of an admin client.
    pub(super) fn admin_config(&self) -> ClientConfig {
        connection(&self.bootstrap_servers, &self.properties)
    }

    /// Returns the configuration of the producer. A record that could not be sent within a session timeout is dropped:
    /// a process that was stopped for longer wakes up with an empty producer queue, after its partitions have moved.
    pub(super) fn producer_config(&self) -> ClientConfig {
        let mut config = connection(&self.bootstrap_servers, &self.properties);
        if !self.properties.contains_key("linger.ms") {
            config.set("linger.ms", "1");
        }
        config
            .set("message.timeout.ms", millis(self.answer_timeout.min(self.session_timeout)))
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("max.in.flight.requests.per.connection", "5")
            .set("partitioner", "murmur2_random");
        config
    }

    /// Returns the configuration of a reader that neither joins the group nor commits: it follows a compacted topic or
    /// queries offsets.
    pub(super) fn follower_config(&self, group: &str) -> ClientConfig {
        let mut config = self.reader_config(group);
        config.set("enable.partition.eof", "true");
        config
    }

    /// Returns the configuration of a group member. Rebalances are cooperative: partitions that stay with their member
    /// are read on meanwhile.
    pub(super) fn member_config(&self, group: &str) -> ClientConfig {
        let mut config = self.reader_config(group);
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", millis(self.session_timeout))
            .set("heartbeat.interval.ms", millis((self.session_timeout / 3).min(HEARTBEAT_MAX)))
            .set("max.poll.interval.ms", millis(POLL_INTERVAL_MAX));
        config
    }

    fn reader_config(&self, group: &str) -> ClientConfig {
        let mut config = connection(&self.bootstrap_servers, &self.properties);
        for producers_only in ["compression.type", "compression.level", "linger.ms"] {
            config.remove(producers_only);
        }
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("queued.max.messages.kbytes", READ_AHEAD_KIB.to_string());
        config
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Prints the names of properties only: any value may be a secret.
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
        let Err(QueueError::Incompatible { differences, .. }) = wrong.check() else { panic!("accepted") };
        assert_eq!(differences.len(), 9, "{differences:?}");
        let text = format!("{differences:?} {wrong:?}");
        assert!(text.contains("group.id is set") && text.contains("sasl.pasword is not known"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("pässword"), "{text}");
    }

    #[test]
    fn lanes_of_one_name_are_told_apart_by_their_epochs() {
        let options = KafkaQueueOptions { group: "g".to_owned(), ..KafkaQueueOptions::new("b", "district") };
        assert_eq!(options.control_topic(), "district.control");
        let cache = options.cache_queue_names();
        assert_eq!((&*cache.work, &*cache.quarantine), ("district.work", "district.work.quarantine"));
        let lane = options.lane_names("search", Uuid::from_u128(0xab << 120));
        assert_eq!((&*lane.work, &*lane.group), ("district.lane.search.ab000000", "g.lane.search.ab000000"));
    }
}
