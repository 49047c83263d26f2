//! Reading a sink into a temporary table: version and digest of each document, in the order of the scan.

use crate::error::{During, ProjectorError};
use millstream_pipeline::sink::{Content, Held, Sink, SinkError};
use millstream_store::compose::body_hash;
use millstream_store::connect::Database;
use millstream_store::table::proof::{SinkCopy, SinkCopyWriter, SinkDocument};

const ACTION: &str = "copying the contents of a sink";

/// A failure to compare a sink.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The sink does not answer, or returned an invalid response.
    #[error("the sink could not be read")]
    Sink(#[from] SinkError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] ProjectorError),
}

/// Reads the whole sink.
pub(super) async fn collect(
    database: &Database,
    sink: &dyn Sink,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<SinkCopy, ProofError> {
    let mut copy = SinkCopyWriter::create(database).await.during(ACTION)?;
    let mut scan = sink.scan().await?;
    loop {
        let page = scan.next().await?;
        if page.is_empty() {
            break;
        }
        let documents: Vec<SinkDocument> = page.into_iter().map(digested).collect();
        copy.write(&documents).await.during(ACTION)?;
        progress(copy.written());
    }
    Ok(copy.finish().await.during(ACTION)?)
}

/// Keeps a digest instead of the bytes.
fn digested(held: Held) -> SinkDocument {
    let Held { uuid, version, resource_key, content } = held;
    let digest = match content {
        Content::Document(json) => Some(body_hash(&json).to_vec()),
        Content::Deleted => None,
    };
    SinkDocument { uuid, version, resource_key, digest }
}
