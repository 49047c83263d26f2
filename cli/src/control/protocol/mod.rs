//! The control protocol: the requests that a command sends to the process of its data folder, and the replies.
//!
//! These types are the single definition of what `--json` prints. `docs/reference/control-protocol.schema.json` is
//! generated from them. A request goes over the socket as one line of JSON; the reply is the JSON of one [`Response`]
//! variant without a tag, because the request determines which one it is.

mod index;
mod projector;
mod proof;
mod quarantine;
mod rebuild;
mod request;
mod response;
mod schema;
mod sinks;
mod status;
mod verify;

#[cfg(test)]
mod golden;

pub use index::{GenerationEntry, GenerationList, IndexBuildStarted, IndexDropped, IndexLive};
pub use projector::{
    CascadeStatus, LaneStatus, LastError, ProjectorStatus, QueueStatus, RebuildStatus, ReplayState, ReplayStatus,
    ResyncStatus, SourceStatus,
};
pub use proof::{FindingExample, ProofReport, SinkComparison, SinkProof};
pub use quarantine::{
    EntriesReleased, EntriesSkipped, QuarantineEntry, QuarantineReport, SinkCopy, SinkView, UnreadableRecord,
};
pub use rebuild::RebuildEnqueued;
pub use request::{IndexAction, ProveOnly, Request, Target};
pub use response::{Refusal, Reply, Response};
pub use schema::{SCHEMA_FILE, schema};
pub use sinks::{ReplayCancelled, ReplayStarted, SinkAdded, SinkPaused, SinkRemoved, WaitDone};
pub use status::{DatabaseStatus, ProcessPhase, RunningStatus, Section, StatusReport};
pub use verify::{RepairReport, RepairedDocument, SecondVerification, VerifyExample, VerifyKind, VerifyReport};
