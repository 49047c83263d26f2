//! The running process: its role, its components, its status and its health. Everything here is below the handlers of
//! control requests and below the start and stop in [`crate::up`].

pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod pools;
pub(crate) mod role;
pub(crate) mod sinks;
pub(crate) mod state;
pub(crate) mod status;
