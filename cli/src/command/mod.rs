//! The commands. Each takes what it needs, writes what it has to say to `out`, and answers how it ended.

pub mod config;
pub mod ddl;
pub mod index;
pub mod load;
pub mod quarantine;
pub mod replay;
pub mod schema;
pub mod sink;
pub mod status;
pub mod verify;
pub mod wait;

use crate::{exit::Exit, failure::Failure};

/// How a command ended.
pub type Outcome = Result<Exit, Failure>;
