//! The commands that handles send to the owner thread.

use millstream_pipeline::Position;
use millstream_pipeline::queue::{
    LaneInfo, Quarantined, QueueError, QueueStats, SettleReport, Settled, Taken, Ticket, Work,
};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::lane::Readiness;

/// The sending end of a reply.
pub(super) type Reply<T> = oneshot::Sender<Result<T, QueueError>>;

/// A request from a handle to the owner thread.
pub(super) enum QueueCommand {
    /// A command on the entries of the cache queue or of the lane with this number.
    Entries(u16, EntriesCommand),
    /// A command on the set of lanes.
    Lanes(LanesCommand),
    /// Ends the thread.
    Close { reply: Reply<()> },
}

/// A command on the entries of one lane.
pub(super) enum EntriesCommand {
    Put { work: Vec<Work>, position: Option<Position>, reply: Reply<()> },
    ResetPosition { position: Position, reply: Reply<()> },
    Settle { settled: Vec<(Ticket, Settled)>, reply: Reply<SettleReport> },
    LeaveQuarantine { document_ids: Vec<i64>, again: bool, reply: Reply<u64> },
    Take { max: usize, reply: Reply<Vec<Taken>> },
    Position { reply: Reply<Option<Position>> },
    Stats { reply: Reply<QueueStats> },
    Quarantined { after: Option<i64>, max: usize, reply: Reply<Vec<Quarantined>> },
}

/// A command on the set of lanes.
pub(super) enum LanesCommand {
    Add { name: String, reply: Reply<OpenedLane> },
    Remove { name: String, reply: Reply<bool> },
    Lane { name: String, reply: Reply<Option<OpenedLane>> },
    List { reply: Reply<Vec<LaneInfo>> },
    SetPaused { name: String, paused: bool, reply: Reply<()> },
    SetNote { name: String, key: String, note: Option<Vec<u8>>, reply: Reply<()> },
    Note { name: String, key: String, reply: Reply<Option<Vec<u8>>> },
}

impl QueueCommand {
    /// Whether it writes to the disk.
    pub(super) const fn is_change(&self) -> bool {
        match self {
            Self::Entries(_, command) => matches!(
                command,
                EntriesCommand::Put { .. }
                    | EntriesCommand::ResetPosition { .. }
                    | EntriesCommand::Settle { .. }
                    | EntriesCommand::LeaveQuarantine { .. }
            ),
            Self::Lanes(command) => matches!(
                command,
                LanesCommand::Add { .. }
                    | LanesCommand::Remove { .. }
                    | LanesCommand::SetPaused { .. }
                    | LanesCommand::SetNote { .. }
            ),
            Self::Close { .. } => false,
        }
    }
}

/// The state of a lane that its handle needs.
pub(super) struct OpenedLane {
    pub(super) number: u16,
    pub(super) epoch: Uuid,
    pub(super) readiness: watch::Receiver<Readiness>,
}
