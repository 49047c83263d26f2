//! The proof that a sink is what the cache is (CONVERGE), document by document, deletes included.
//!
//! What it is: everything that the sink holds is read once, reduced to a version and a digest of each document, and kept
//! in a temporary table of the database, so memory stays bounded however large the sink is. Then both sides are walked in
//! the order of their ids, a page at a time, and compared. What a sink may not differ in is its bytes: those of a GET.
//!
//! While documents change, two looks at two places never agree. So whatever is found wrong is looked at a second time:
//! only what is wrong twice, about the same version of the same document, is a difference. The rest is behind.
//!
//! What it is not: it does not ask whether the cache itself is right. `millstream_store::verify` does.

mod collect;
mod compare;
mod finding;

pub use finding::{Finding, FindingKind, SinkReport};

use crate::error::ProjectorError;
use collect::Held;
use finding::Findings;
use millstream_pipeline::clock::Clock;
use millstream_pipeline::sink::{Sink, SinkError};
use millstream_store::connect::Database;
use std::time::Duration;

/// Pause before what was found wrong is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why a sink could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The sink does not answer, or not sensibly.
    #[error("the sink could not be read")]
    Sink(#[from] SinkError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] ProjectorError),
}

/// Compares everything that a sink holds with the cache and the ledger of tombstones. The sink is only read: whoever
/// delivers to it goes on undisturbed.
///
/// # Errors
/// When the sink or the database cannot be read; a sink that is merely wrong is no error.
pub async fn prove(
    database: &Database,
    sink: &dyn Sink,
    clock: &dyn Clock,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<SinkReport, ProofError> {
    let first = look(database, sink, progress).await?;
    if first.is_empty() {
        return Ok(SinkReport::of(sink.describe(), &first, None));
    }
    clock.sleep(LOOK_AGAIN).await;
    let second = look(database, sink, progress).await?;
    Ok(SinkReport::of(sink.describe(), &first, Some(&second)))
}

async fn look(
    database: &Database,
    sink: &dyn Sink,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Findings, ProofError> {
    let held = Held::collect(database, sink, progress).await?;
    let findings = compare::compare(database, &held).await;
    held.forget().await?;
    Ok(findings?)
}
