//! From change records to cached bodies, and from renamed documents to those that embed them.
//!
//! What it is: the loops between the outbox and `dms.DocumentCache`.
//! * The **intake** ([`intake`]) pulls change records from a source, makes them durable in the work queue, and only then
//!   lets the source forget them (NO-LOSS). It knows where to begin after a restart, a lost queue or a lost slot.
//! * The **rebuild** takes batches of documents out of the queue, reads each batch in one snapshot, composes the bodies
//!   and stores them, newest version only (MONOTONIC). What the snapshot does not show yet is looked at again, what
//!   cannot be composed is tried again and then quarantined, and nothing else waits for either (ISOLATED).
//! * The **cascade** ([`cascade`]) works off what a rename left open: page by page it gives every document that embeds the
//!   renamed one the version under which readers have been shown it already.
//! * The **resynchronisation** finds out by comparison what the stream cannot tell ([`resync_page`]).
//! * The **delivery** ([`delivery`]) takes what is cached from a sink's lane to the sink, at the sink's own pace;
//!   the **fleet** ([`sink_manager`]) is all of them, joined and parted while everything runs.
//! * The **replay** ([`replay`]) owes documents again, to the cache or to one sink, and fills a sink that is new.
//! * The **tombstones** ([`tombstones`]) are kept until every copy is past them.
//!
//! [`Projector::start`] starts them all, [`ProjectorHandle`] owns them: `status`, `fatal`, `stop`.
//!
//! Where the state is: the queue holds what is owed, `dms.Cascade` how far each rename has come,
//! `dms.ProjectionProgress` what need not be replayed. In memory there is only what may be forgotten, so a crash at any
//! point costs repetition and nothing else, and two projectors at once do no harm.
//!
//! Order: for one document versions decide, not arrival. Across documents there is none to keep.
//!
//! What it is not: it knows no concrete source or sink, no HTTP and no writer, and composes nothing itself: bodies come
//! from `millstream_store::compose`. What happens to a document after the cache is one function, `forward_to_lanes`, where the
//! lanes of the sinks begin; what a sink has to be stands in [`sink`].

pub mod cascade;
mod caught_up;
mod context;
mod counters;
pub mod delivery;
mod error;
mod forward;
pub mod intake;
mod lag;
pub mod metrics;
mod options;
mod projector;
pub mod proof;
mod publish;
mod rebuild;
pub mod replay;
mod resync;
mod sampler;
pub mod sink_manager;
mod status;
mod task_group;
pub mod tombstones;
mod visibility_wait;

pub use caught_up::{caught_up, newest_version};
pub use context::Deps;
pub use error::ProjectorError;
pub use intake::{Opened, PositionKind, SourceFactory, Start};
pub use millstream_pipeline::clock::{Clock, SystemClock};
pub use options::{Part, ProjectorOptions};
pub use projector::{Projector, ProjectorHandle, StopError};
pub use resync::{ResyncPage, resync_page};
pub use status::{CascadeReport, ErrorReport, ProjectorStatus, QueueReport, RebuildReport, ResyncReport, SourceReport};
