//! The intake: from the source of changes into the durable queue.
//!
//! `follow` opens the source where the queue left off and pumps; when the source stops it is opened again, with a
//! growing delay. If there is no such place (first start, lost queue, lost slot), the source begins anew and a
//! comparison of all documents is owed, which `keep` makes beside the stream. While nothing is owed, `keep` moves the
//! recovery watermark
//! (docs/design/rules.md#rule-8). Of several processes on one outbox one has its turn, the others stand by.

mod follow;
mod lease;
mod pump;
mod resync_state;
mod source;

pub(crate) use follow::follow;
pub(crate) use resync_state::{ResyncState, keep};
pub use source::{Opened, PositionKind, SourceFactory, Start};
