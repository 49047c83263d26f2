//! The installations that trials run on: roles, sinks and flags.

/// An installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layout {
    /// One process with the embedded index.
    Alone,
    /// The same; connections to the database are encrypted, and its certificate is checked.
    Tls,
    /// The same; the queue, the index and PostgreSQL's log are on small disks of their own.
    SmallDisks,
    /// The same; the process takes the time from a file.
    Clock,
    /// One process with OpenSearch behind a proxy.
    OpenSearch,
    /// One process with its queue and its documents topic in Kafka.
    Kafka,
    /// A relay, a projector, a sink and an API that share a queue in Kafka.
    Roles,
}

impl Layout {
    /// The processes, each by its command.
    pub(crate) const fn roles(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Roles => &[&["relay"], &["project"], &["sink", "opensearch"], &["api"]],
            _ => &[&["up"]],
        }
    }

    pub(crate) const fn uses_kafka(self) -> bool {
        matches!(self, Self::Kafka | Self::Roles)
    }

    pub(crate) const fn uses_opensearch(self) -> bool {
        matches!(self, Self::OpenSearch | Self::Roles)
    }

    /// The flags that do not depend on addresses.
    pub(crate) fn flags(self) -> Vec<String> {
        // A document that is at fault in no trial reaches the quarantine soon if it is blamed.
        let mut flags = vec!["--queue-attempts-max=3", "--cascade-strict-max=2", "--cascade-page=20"];
        flags.extend(match self {
            Self::Roles => &["--queue-kind=kafka", "--queue-partitions=3", "--queue-session-timeout-ms=10000"][..],
            Self::Kafka => &["--queue-kind=kafka", "--queue-partitions=3", "--sinks=kafka"],
            Self::OpenSearch => &["--sinks=opensearch"],
            _ => &["--sinks=embedded"],
        });
        flags.into_iter().map(str::to_owned).collect()
    }
}
