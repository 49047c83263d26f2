//! The status of a process: every component with its counters and levels. Each number is a metric as well.

use super::projector::{LaneStatus, ProjectorStatus, ReplayStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};

/// The status of the process of a data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StatusReport {
    /// Process id.
    pub pid: u32,
    /// Version of Millstream.
    pub version: String,
    /// Whether the components run.
    pub state: ProcessPhase,
    /// The components; only in the state `running`.
    #[serde(flatten)]
    pub running: Option<RunningStatus>,
}

/// Reads the components only where the state says that they are there: a flattened `Option` alone would hide why a
/// member cannot be read.
impl<'de> Deserialize<'de> for StatusReport {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Head {
            pid: u32,
            version: String,
            state: ProcessPhase,
            #[serde(flatten)]
            rest: Map<String, Value>,
        }
        let Head { pid, version, state, rest } = Head::deserialize(deserializer)?;
        let running = match state {
            ProcessPhase::Running => Some(serde_json::from_value(Value::Object(rest)).map_err(D::Error::custom)?),
            ProcessPhase::StartingOrStopping => None,
        };
        Ok(Self { pid, version, state, running })
    }
}

impl StatusReport {
    /// The projector's report, if one runs in the process and could be read.
    pub fn projector(&self) -> Option<&ProjectorStatus> {
        self.running.as_ref()?.projector.as_ref()?.read()
    }

    /// The lanes, as far as they could be read.
    pub fn lanes(&self) -> &[LaneStatus] {
        self.running.as_ref().and_then(|running| running.lanes.read()).map_or(&[], Vec::as_slice)
    }
}

/// Whether the components of a process run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProcessPhase {
    /// All components run.
    #[serde(rename = "running")]
    Running,
    /// Components are being started or stopped.
    #[serde(rename = "starting or stopping")]
    StartingOrStopping,
}

impl ProcessPhase {
    /// The name in the protocol.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::StartingOrStopping => "starting or stopping",
        }
    }
}

/// The components of a running process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunningStatus {
    /// The role: `up`, `api`, `relay`, `project` or `sink NAME`.
    pub role: String,
    /// Address of the HTTP server.
    pub address: String,
    /// Address that clients use.
    pub url: String,
    /// Hash of the ApiSchema files in force.
    pub effective_schema_hash: String,
    /// Time since the start of the process.
    pub uptime_ms: u64,
    /// The database.
    pub database: DatabaseStatus,
    /// The projector; null in a process that runs none of it.
    pub projector: Option<Section<ProjectorStatus>>,
    /// One lane per sink, or per generation of a sink.
    pub lanes: Section<Vec<LaneStatus>>,
    /// The last replay into the cache.
    pub replay: Option<ReplayStatus>,
}

/// A part of the status, or why it could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Section<T> {
    /// The part.
    Read(T),
    /// It could not be read.
    Failed {
        /// The error with its causes.
        error: String,
    },
}

impl<T> Section<T> {
    /// The part, if it could be read.
    pub const fn read(&self) -> Option<&T> {
        match self {
            Self::Read(part) => Some(part),
            Self::Failed { .. } => None,
        }
    }
}

impl<T: Default> Default for Section<T> {
    fn default() -> Self {
        Self::Read(T::default())
    }
}

/// The database and the connection pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseStatus {
    /// User, host, port and name, without the password.
    pub address: String,
    /// Whether this process manages the server.
    pub managed: bool,
    /// Open connections of the pool.
    pub connections: u64,
    /// Connections of the pool at most.
    pub connections_max: u64,
    /// Open connections that are not in use.
    pub connections_idle: u64,
    /// Tasks that wait for a connection.
    pub waiting: u64,
    /// The newest version given to a document; null if the server did not reply in time.
    pub newest_version: Option<i64>,
    /// The flushed position of the server's log; null if the server did not reply in time.
    pub wal_position: Option<String>,
}
