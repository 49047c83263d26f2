//! Replies, and which reply belongs to which request.

use super::{
    index::{GenerationList, IndexBuildStarted, IndexDropped, IndexLive},
    proof::ProofReport,
    quarantine::{EntriesReleased, EntriesSkipped, QuarantineReport},
    rebuild::RebuildEnqueued,
    request::{IndexAction, Request},
    sinks::{ReplayCancelled, ReplayStarted, SinkAdded, SinkPaused, SinkRemoved, WaitDone},
    status::StatusReport,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Content of one reply variant.
pub trait Reply: Sized {
    /// Returns the content if the response is of this variant.
    fn from_response(response: Response) -> Option<Self>;
}

/// Declares the response enum, and [`Reply`] for the content of each variant.
macro_rules! responses {
    ($($(#[$doc:meta])* $variant:ident($content:ty),)*) => {
        /// The reply to a request. It is written without a tag: [`Response::decode`] chooses the variant by the request.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
        #[serde(untagged)]
        pub enum Response {
            $($(#[$doc])* $variant($content),)*
        }

        $(
            impl From<$content> for Response {
                fn from(content: $content) -> Self {
                    Self::$variant(content)
                }
            }

            impl Reply for $content {
                fn from_response(response: Response) -> Option<Self> {
                    match response {
                        Response::$variant(content) => Some(content),
                        _ => None,
                    }
                }
            }
        )*
    };
}

responses! {
    /// To [`Request::Status`].
    Status(Box<StatusReport>),
    /// To [`Request::SinkAdd`].
    SinkAdded(SinkAdded),
    /// To [`Request::SinkRemove`].
    SinkRemoved(SinkRemoved),
    /// To [`Request::SinkPause`].
    SinkPaused(SinkPaused),
    /// To [`Request::Replay`].
    Replay(ReplayStarted),
    /// To [`Request::ReplayCancel`].
    ReplayCancelled(ReplayCancelled),
    /// To [`Request::QuarantineList`], [`Request::QuarantineShow`] and [`Request::UnreadableShow`].
    Quarantine(QuarantineReport),
    /// To [`Request::QuarantineRetry`].
    Released(EntriesReleased),
    /// To [`Request::QuarantineSkip`] and [`Request::UnreadableSkip`].
    Skipped(EntriesSkipped),
    /// To [`Request::Wait`].
    Wait(WaitDone),
    /// To [`IndexAction::List`].
    Generations(GenerationList),
    /// To [`IndexAction::Build`].
    IndexBuild(IndexBuildStarted),
    /// To [`IndexAction::Swap`] and [`IndexAction::Rollback`].
    IndexLive(IndexLive),
    /// To [`IndexAction::Drop`].
    IndexDropped(IndexDropped),
    /// To [`Request::Rebuild`].
    Rebuild(RebuildEnqueued),
    /// To [`Request::Prove`] and [`IndexAction::Compare`].
    Proof(ProofReport),
}

impl Response {
    /// Parses the reply to a request.
    ///
    /// # Errors
    /// When the text is not JSON, or lacks a member of the reply.
    pub fn decode(request: &Request, text: &[u8]) -> Result<Self, serde_json::Error> {
        fn read<'de, T: Deserialize<'de> + Into<Response>>(text: &'de [u8]) -> Result<Response, serde_json::Error> {
            serde_json::from_slice::<T>(text).map(Into::into)
        }
        match request {
            Request::Status => read::<Box<StatusReport>>(text),
            Request::SinkAdd { .. } => read::<SinkAdded>(text),
            Request::SinkRemove { .. } => read::<SinkRemoved>(text),
            Request::SinkPause { .. } => read::<SinkPaused>(text),
            Request::Replay { .. } => read::<ReplayStarted>(text),
            Request::ReplayCancel { .. } => read::<ReplayCancelled>(text),
            Request::QuarantineList { .. } | Request::QuarantineShow { .. } | Request::UnreadableShow { .. } => {
                read::<QuarantineReport>(text)
            }
            Request::QuarantineRetry { .. } => read::<EntriesReleased>(text),
            Request::QuarantineSkip { .. } | Request::UnreadableSkip { .. } => read::<EntriesSkipped>(text),
            Request::Wait { .. } => read::<WaitDone>(text),
            Request::Prove { .. } => read::<ProofReport>(text),
            Request::Rebuild { .. } => read::<RebuildEnqueued>(text),
            Request::Index { action, .. } => match action {
                IndexAction::List => read::<GenerationList>(text),
                IndexAction::Build { .. } => read::<IndexBuildStarted>(text),
                IndexAction::Compare { .. } => read::<ProofReport>(text),
                IndexAction::Swap { .. } | IndexAction::Rollback => read::<IndexLive>(text),
                IndexAction::Drop { .. } => read::<IndexDropped>(text),
            },
        }
    }
}

/// The reply to a request that was refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// The error with its causes.
    pub message: String,
    /// The exit code of the command.
    pub exit: u8,
}
