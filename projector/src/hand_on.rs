//! What happens to an entry after its document's fate in the cache is known.
//!
//! Today that is the end of the entry. The lanes of the sinks begin here: an entry whose body was stored, or whose
//! document is gone, moves into one lane a sink in the same durable step that removes it from the cache stage, and this
//! function is where that step belongs. What it must not pass on are the other fates: a body below the effective version
//! belongs to nobody (`rules.md` 5), and a superseded one is followed by its successor.

use millstream_outbox::queue::{Settled, Taken, Ticket};

/// What became of a document in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The cache holds this body now, or held it already.
    Cached,
    /// The document is gone, its cached row with it.
    Gone,
    /// A newer version is there or on its way.
    Superseded,
    /// An open cascade will stamp the document, and with the stamp comes another entry.
    AwaitsStamp,
}

/// Settles an entry whose document has met its fate.
pub(crate) fn hand_on(taken: &Taken, fate: Fate) -> (Ticket, Settled) {
    match fate {
        Fate::Cached | Fate::Gone | Fate::Superseded | Fate::AwaitsStamp => (taken.ticket, Settled::Done),
    }
}
