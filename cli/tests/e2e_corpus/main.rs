//! The pipeline with every document of the fixtures and, where available, of the corpus: a document is read as it was
//! posted, posting it again changes nothing, and a rename changes exactly the documents that embed the name.
//!
//! One binary, so that each set of documents is loaded once.

#[path = "../support/mod.rs"]
mod support;

mod reload;
mod rename;
mod round_trip;

use tokio::sync::{Mutex, MutexGuard};

/// Serializes the tests: each keeps all processors busy, and sequential output is easier to read.
async fn exclusive() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::const_new(());
    LOCK.lock().await
}
