//! Roles: which components of Millstream a process runs.

use crate::{config::Config, failure::Failure, sink_kind::SinkKind, sinks::LaneName};
use millstream_projector::Part;
use std::{fmt, sync::Arc};

/// The role of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Every component: `millstream up`.
    All,
    /// Serves reads, writes and searches.
    Api,
    /// Follows the outbox and fills the queue; a second relay is a standby.
    Relay,
    /// Consumes the queue: cascades and rebuilds.
    Project,
    /// Delivers to one sink.
    Sink(SinkKind),
}

impl Role {
    /// The part of the projector that the role runs.
    pub(crate) const fn part(self) -> Option<Part> {
        match self {
            Self::All => Some(Part::Whole),
            Self::Relay => Some(Part::Intake),
            Self::Project => Some(Part::Work),
            Self::Api | Self::Sink(_) => None,
        }
    }

    /// Whether the role serves `/data` and `/search`. Every role serves health and metrics.
    pub(crate) const fn serves_documents(self) -> bool {
        matches!(self, Self::All | Self::Api)
    }

    /// Whether the role maintains the outbox and the tombstones, and provisions an empty database.
    pub(crate) const fn maintains_database(self) -> bool {
        matches!(self, Self::All | Self::Relay)
    }

    /// Returns which lanes the role delivers from.
    pub(crate) fn lanes(self) -> Arc<dyn Fn(&str) -> bool + Send + Sync> {
        match self {
            Self::All => Arc::new(|_| true),
            Self::Sink(sink) => Arc::new(move |lane| LaneName::parse(lane).sink == sink.name()),
            Self::Api | Self::Relay | Self::Project => Arc::new(|_| false),
        }
    }

    /// Returns the sinks that the role adds if they are missing.
    pub(crate) fn wanted(self, config: &Config) -> Vec<SinkKind> {
        match self {
            Self::All => config.sinks.wanted.clone(),
            Self::Sink(sink) => vec![sink],
            Self::Api | Self::Relay | Self::Project => Vec::new(),
        }
    }

    /// Refuses a configuration that the role cannot work with: separate processes share the database and the queue.
    pub(crate) fn check(self, config: &Config) -> Result<(), Failure> {
        if self == Self::All {
            return Ok(());
        }
        let mut missing = Vec::new();
        if config.database.url.is_none() {
            missing.push("database.url, the database that all of them share");
        }
        if !config.queue.in_kafka {
            missing.push("queue.kind = kafka, because a queue on local disk belongs to one process");
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(Failure::usage(format!("`millstream {self}` runs apart from the others: set {}", missing.join("; and "))))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("up"),
            Self::Api => f.write_str("api"),
            Self::Relay => f.write_str("relay"),
            Self::Project => f.write_str("project"),
            Self::Sink(sink) => write!(f, "sink {sink}"),
        }
    }
}
