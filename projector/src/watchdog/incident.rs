//! A confirmed mismatch, and its likely causes.

use crate::proof::FindingKind;
use millstream_store::verify::DifferenceKind;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The kind of a mismatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MismatchKind {
    /// Derived rows or the cached body differ from the rows of the document.
    Tables(DifferenceKind),
    /// The cached body is missing or older than the document, although no work is pending.
    CacheBehind,
    /// The copy in a sink differs from the cache.
    Sink(FindingKind),
}

impl MismatchKind {
    /// The name in records and metrics.
    pub fn name(self) -> String {
        match self {
            Self::Tables(kind) => kind.name().to_owned(),
            Self::CacheBehind => "cache behind".to_owned(),
            Self::Sink(kind) => format!("sink {}", kind.name()),
        }
    }

    /// Likely causes, the likeliest first.
    pub fn causes(self) -> &'static [&'static str] {
        use DifferenceKind as Kind;
        match self {
            Self::Tables(Kind::EdgeMissing | Kind::EdgeUnexpected | Kind::EdgeFlag | Kind::IdentityLockMissing) => &[
                "rows written past Millstream (SQL, a partial restore)",
                "triggers or foreign keys switched off",
                "a defect of the writer",
            ],
            Self::Tables(
                Kind::IdentityMissing | Kind::IdentityUnexpected | Kind::ReferentialId | Kind::IdentityValues,
            ) => &[
                "identity columns changed past Millstream",
                "a partial restore",
                "a rename that was cut short by a defect",
            ],
            Self::Tables(Kind::CacheAhead | Kind::TombstoneOfLiving) => {
                &["the database was restored to an earlier state", "rows written past Millstream"]
            }
            Self::Tables(Kind::CacheBody | Kind::CacheHash | Kind::CacheHead) => &[
                "the cache was changed past Millstream",
                "an identity that was remembered from another history of the database",
                "storage damage",
            ],
            Self::CacheBehind => {
                &["the body is in quarantine", "a change that the source lost", "the cache was emptied past Millstream"]
            }
            Self::Sink(FindingKind::Missing | FindingKind::Stale) => {
                &["another client changed the sink", "the sink lost confirmed writes", "the entry is in quarantine"]
            }
            Self::Sink(FindingKind::Newer) => &["the database was restored to an earlier state"],
            Self::Sink(FindingKind::Extra | FindingKind::Undeleted | FindingKind::Altered) => {
                &["another client changed the sink", "a delete that the sink lost"]
            }
            Self::Tables(_) => &["rows changed past Millstream (SQL, a partial restore)", "storage damage"],
        }
    }
}

/// The record of a confirmed mismatch. It holds no body and no identity value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Number of the incident in its log.
    pub number: u64,
    /// When it was confirmed, in milliseconds since 1970 UTC.
    pub at_ms: u64,
    /// The document.
    pub document: Uuid,
    /// Its type, as in the URL; empty if the schema does not have it.
    pub resource: String,
    /// The version at which it was seen twice.
    pub version: i64,
    /// `tables`, or the lane of the sink.
    pub place: String,
    /// The kind.
    pub kind: String,
    /// Likely causes.
    pub causes: Vec<String>,
    /// The reaction: `alert`, `unhealthy`, `repair`, or the error of a repair.
    pub action: String,
    /// When it was found mended.
    pub mended_at_ms: Option<u64>,
}
