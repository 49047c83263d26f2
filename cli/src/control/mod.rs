//! The control socket, through which commands reach the process of their data folder: a Unix socket of mode 0600 in that
//! folder. A client sends one [`Request`] as a line of JSON, receives one [`Response`], and the connection ends.
//!
//! A killed process leaves the socket file behind. Nothing answers on it, so the next start replaces it.

mod client;
pub(crate) mod handlers;
pub mod protocol;
mod server;
mod socket;

pub use client::{call, status};
pub use protocol::{Request, Response};
pub use server::{Control, Handler};
pub use socket::ControlError;
