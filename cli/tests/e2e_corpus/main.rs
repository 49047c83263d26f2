//! The whole line on every document of the fixtures and, where it is at hand, of the real corpus: what is posted is what
//! is read, posting it again changes nothing, and a rename changes what it must and nothing else.
//!
//! One binary, so that each set of documents is loaded once.

#[path = "../support/mod.rs"]
mod support;

mod reload;
mod rename;
mod round_trip;

use tokio::sync::{Mutex, MutexGuard};

/// These tests keep all processors busy: one at a time is as fast, and easier to read.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}
