//! What happens to an entry after its document's fate in the cache is known.
//!
//! An entry whose body the cache holds, or whose document is gone, moves into the lanes of the sinks in the same durable
//! step that ends it here. The other fates are nobody else's business: a body below the effective version belongs to no
//! copy (docs/design/rules.md#rule-5), and a superseded one is followed by its successor.

use millstream_pipeline::queue::{Settled, Taken, Ticket};

/// What became of a document in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RebuildOutcome {
    /// The cache holds the body of this version now, or held it already.
    Cached {
        /// The version that the body was composed at.
        version: i64,
        /// It held other bytes at this version, which the copies may hold too.
        repaired: bool,
    },
    /// The document is gone, its cached row with it.
    Gone,
    /// A newer version is there or on its way.
    Superseded,
    /// An open cascade will stamp the document, and with the stamp comes another entry.
    AwaitsStamp,
}

/// Settles an entry whose document has met its fate.
pub(crate) fn forward_to_lanes(taken: &Taken, fate: RebuildOutcome) -> (Ticket, Settled) {
    let settled = match fate {
        RebuildOutcome::Cached { version, repaired } => Settled::Deliver { version, deleted: false, repair: repaired },
        // The delete has a version of its own, which the ledger of tombstones knows.
        RebuildOutcome::Gone => Settled::Deliver { version: taken.work.version, deleted: true, repair: false },
        RebuildOutcome::Superseded | RebuildOutcome::AwaitsStamp => Settled::Done,
    };
    (taken.ticket, settled)
}
