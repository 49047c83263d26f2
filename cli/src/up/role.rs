//! Which parts of Millstream a process runs.

use crate::{config::Config, failure::Failure, sinks::LaneName};
use millstream_projector::Part;
use std::{fmt, sync::Arc};

/// What a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Everything: `millstream up`.
    All,
    /// It answers reads, writes and searches.
    Api,
    /// It follows the outbox and fills the queue; a second one stands by.
    Relay,
    /// It works the queue off: cascades and rebuilds.
    Project,
    /// It delivers to one sink.
    Sink(String),
}

impl Role {
    /// The part of the projector that runs, if any.
    pub(super) fn part(&self) -> Option<Part> {
        match self {
            Self::All => Some(Part::Whole),
            Self::Relay => Some(Part::Intake),
            Self::Project => Some(Part::Work),
            Self::Api | Self::Sink(_) => None,
        }
    }

    /// Whether it has `/data` and `/search`; every process has its health and its metrics.
    pub(super) fn serves_documents(&self) -> bool {
        matches!(self, Self::All | Self::Api)
    }

    /// Whether it keeps the outbox in order, and provisions an empty database.
    pub(super) fn keeps_house(&self) -> bool {
        matches!(self, Self::All | Self::Relay)
    }

    /// The lanes that it delivers from.
    pub(super) fn lanes(&self) -> Arc<dyn Fn(&str) -> bool + Send + Sync> {
        match self.clone() {
            Self::All => Arc::new(|_| true),
            Self::Sink(sink) => Arc::new(move |lane| LaneName::parse(lane).sink == sink),
            Self::Api | Self::Relay | Self::Project => Arc::new(|_| false),
        }
    }

    /// The sinks that it adds if they are not there.
    pub(super) fn wanted(&self, config: &Config) -> Vec<String> {
        match self {
            Self::All => config.sinks.wanted.clone(),
            Self::Sink(sink) => vec![sink.clone()],
            Self::Api | Self::Relay | Self::Project => Vec::new(),
        }
    }

    /// Refuses a configuration that the role cannot work with: processes that run apart share their database and queue.
    pub(super) fn check(&self, config: &Config) -> Result<(), Failure> {
        if *self == Self::All {
            return Ok(());
        }
        let mut missing = Vec::new();
        if config.database.url.is_none() {
            missing.push("database.url, the database that all of them share");
        }
        if !config.queue.in_kafka {
            missing.push("queue.kind = kafka, since a queue on local disk is one process's own");
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
