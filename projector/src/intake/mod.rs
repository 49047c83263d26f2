//! The intake: from the source of changes into the durable queue.
//!
//! [`follow`] opens the source at the queue's position and pumps its changes into the queue ([`pump`]); when the source
//! stops, it is reopened after a growing delay. If no such position exists (first start, lost queue, lost slot), the
//! source starts from scratch and a comparison of all documents is pending, which [`progress`] makes beside the stream.
//! While none is pending, [`progress`] stores the recovery watermark (docs/design/rules.md#rule-8). Of several
//! processes on one outbox one holds the lease ([`lease`]), the others stand by.

pub(crate) mod follow;
mod lease;
pub(crate) mod progress;
mod pump;
pub(crate) mod resync_state;
pub(crate) mod source;
mod start;
mod watermark_schedule;

pub use source::{Opened, PositionKind, SourceFactory, Start};
