//! The projector: from change records to cached bodies, and from the cache to every sink.
//!
//! Its parts run as tasks between the outbox, the work queue, `dms.DocumentCache` and the sinks:
//! * The **intake** ([`intake`]) reads change records from a source, makes them durable in the work queue, and only
//!   then confirms them to the source (NO-LOSS). It decides where to start after a restart, a lost queue or a lost
//!   slot.
//! * The **rebuild** takes batches of documents from the queue, reads each batch in one snapshot, composes the bodies
//!   and stores them, newest version only (MONOTONIC). Changes that the snapshot does not show yet are read again;
//!   documents that cannot be composed are retried and then quarantined. Other documents wait for neither (ISOLATED).
//! * The **cascade** ([`cascade`]) stamps the documents that embed a renamed one, page by page, with the version under
//!   which readers already see them.
//! * The **resync** ([`resync_page`]) compares documents with the cache after a gap in the stream.
//! * The **delivery** ([`delivery`]) sends cached bodies from a sink's lane to the sink, as fast as the sink accepts
//!   them. The **sink manager** ([`sink_manager`]) runs one delivery worker per lane and adds and removes sinks at run
//!   time.
//! * The **replay** ([`replay`]) enqueues documents again, for the cache or for one sink; it also fills a new sink.
//! * **Tombstones** ([`tombstones`]) are pruned once every sink has passed them.
//!
//! [`Projector::start`] starts intake, rebuild, cascade and sampler; [`ProjectorHandle`] owns their tasks.
//!
//! State is durable elsewhere: pending work in the queue, the progress of each rename in `dms.Cascade`, the progress of
//! the stream in `dms.ProjectionProgress`. Memory holds only what may be lost. A crash at any point repeats work and
//! loses none, and two projectors at once are safe.
//!
//! For one document, versions decide, not arrival. Across documents the order is undefined.
//!
//! The crate knows no concrete source or sink, no HTTP and no writer. Bodies are composed by
//! `millstream_store::compose`; the contract of sinks is `millstream_pipeline::sink`.

mod backlog;
pub mod cascade;
mod caught_up;
mod context;
mod counters;
pub mod delivery;
mod error;
pub mod intake;
mod lag;
pub mod metrics;
mod options;
mod projector;
pub mod proof;
mod rebuild;
pub mod reconcile;
pub mod replay;
mod resync;
mod sampler;
pub mod sink_manager;
mod status;
mod task_group;
pub mod tombstones;
mod visibility_wait;
pub mod watchdog;

pub use caught_up::{caught_up, newest_version};
pub use context::Deps;
pub use error::ProjectorError;
pub use intake::source::{Opened, PositionKind, SourceFactory, Start};
pub use millstream_pipeline::clock::{Clock, SystemClock};
pub use options::{Part, ProjectorOptions};
pub use projector::{Projector, ProjectorHandle};
pub use resync::{ResyncPage, resync_page};
pub use status::{CascadeReport, ErrorReport, ProjectorStatus, QueueReport, RebuildReport, ResyncReport, SourceReport};
pub use task_group::StopError;
