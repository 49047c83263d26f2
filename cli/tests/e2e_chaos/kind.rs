//! The kinds of trials.

use crate::layout::Layout;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The time within which a request for an unrelated document is answered while its database works.
const UNRELATED_GET_MAX: Duration = Duration::from_secs(5);

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// A kind of trial: the fault that it injects.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Kind {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Kind {
            /// All kinds, in the order of the trials.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name, as `--only` takes it.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// An earlier data directory is put back under a running `up`.
    Restore = "restore",
    /// The same under a relay, a projector, a sink and an API that share a queue in Kafka.
    RestoreRoles = "restore-roles",
    /// A standby is promoted that lacks the end of the primary's log.
    Promotion = "promotion",
    /// The database is read-only for a while.
    ReadOnly = "read-only",
    /// All connections to the database fall into a black hole; new ones work.
    HungPeer = "hung-peer",
    /// The database is behind a slow network.
    SlowNetwork = "slow-network",
    /// Connections to the database are cut again and again.
    Cuts = "cuts",
    /// The server presents a certificate of another authority.
    Certificate = "certificate",
    /// The role has short timeouts for statements, locks, idle sessions and idle transactions.
    RoleTimeouts = "role-timeouts",
    /// The role's `statement_timeout` is shorter than any statement, on and off.
    StatementTimeouts = "statement-timeouts",
    /// Someone forgot a transaction with a row lock on a document that others refer to.
    RowLock = "row-lock",
    /// Someone forgot a transaction with a lock on a table.
    TableLock = "table-lock",
    /// Someone forgot a session with the advisory lock of the writers' turnstile.
    AdvisoryLock = "advisory-lock",
    /// The disk of the queue is full.
    QueueDisk = "disk-queue",
    /// The disk of PostgreSQL's log is full.
    WalDisk = "disk-wal",
    /// The disk of the embedded index is full.
    IndexDisk = "disk-index",
    /// The clock steps forward and back by an hour.
    Clock = "clock",
    /// Many large documents are rebuilt and read, and memory is limited.
    Memory = "memory",
    /// 2,000 connections that send nothing, half a request, or read nothing.
    SlowClients = "slow-clients",
    /// OpenSearch refuses bulks with the statuses of full and overloaded clusters, and so it answers single items.
    OpenSearchStatus = "opensearch-status",
    /// Answers of OpenSearch end early.
    OpenSearchTruncated = "opensearch-truncated",
    /// The Kafka broker stands still.
    KafkaPaused = "kafka-paused",
}

impl Kind {
    /// The installation that it needs.
    pub(crate) const fn layout(self) -> Layout {
        match self {
            Self::RestoreRoles => Layout::Roles,
            Self::Certificate => Layout::Tls,
            Self::OpenSearchStatus | Self::OpenSearchTruncated => Layout::OpenSearch,
            Self::KafkaPaused => Layout::Kafka,
            Self::QueueDisk | Self::WalDisk | Self::IndexDisk => Layout::SmallDisks,
            Self::Clock => Layout::Clock,
            _ => Layout::Alone,
        }
    }

    /// The longest that a request for an unrelated document may take; `None` while the database itself is away.
    pub(crate) const fn get_max(self) -> Option<Duration> {
        match self {
            Self::RowLock
            | Self::TableLock
            | Self::AdvisoryLock
            | Self::Memory
            | Self::SlowClients
            | Self::ReadOnly
            | Self::QueueDisk
            | Self::IndexDisk
            | Self::OpenSearchStatus
            | Self::OpenSearchTruncated
            | Self::KafkaPaused => Some(UNRELATED_GET_MAX),
            _ => None,
        }
    }

    /// Whether it leaves an installation that other trials can use.
    pub(crate) const fn leaves_all_in_place(self) -> bool {
        !matches!(self, Self::Promotion | Self::Memory | Self::Clock)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
        let found = Self::ALL.iter().find(|kind| kind.name() == text);
        found.copied().ok_or_else(|| format!("unknown kind of trial {text:?}: expected one of {}", names()))
    }
}
