//! The commands. Each takes its arguments and the configuration, writes its output to `out`, and returns the exit code.

pub mod config;
pub mod ddl;
pub mod incidents;
pub mod index;
pub mod load;
pub mod quarantine;
pub mod replay;
pub mod schema;
pub mod sink;
pub mod status;
pub mod verify;
pub mod wait;
