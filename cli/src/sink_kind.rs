//! The kinds of sinks.

use std::{fmt, str::FromStr};

/// A kind of sink. An installation has at most one sink of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SinkKind {
    /// The search index in the process.
    Embedded,
    /// The documents topic in Kafka.
    Kafka,
    /// Search indexes in OpenSearch.
    OpenSearch,
}

impl SinkKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Embedded, Self::Kafka, Self::OpenSearch];

    /// The name in the configuration, in commands and in lanes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kafka => "kafka",
            Self::OpenSearch => "opensearch",
        }
    }
}

/// The names of all kinds.
pub const NAMES: [&str; 3] = [SinkKind::Embedded.name(), SinkKind::Kafka.name(), SinkKind::OpenSearch.name()];

impl fmt::Display for SinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not that of a sink.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown sink {0:?}; the sinks are {names}", names = NAMES.join(", "))]
pub struct UnknownSink(String);

impl FromStr for SinkKind {
    type Err = UnknownSink;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownSink(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_kinds_are_the_same() {
        for (kind, name) in SinkKind::ALL.into_iter().zip(NAMES) {
            assert_eq!((kind.name(), name.parse()), (name, Ok(kind)));
        }
        let unknown = "carrier-pigeon".parse::<SinkKind>().expect_err("it is unknown");
        assert_eq!(unknown.to_string(), "unknown sink \"carrier-pigeon\"; the sinks are embedded, kafka, opensearch");
    }
}
