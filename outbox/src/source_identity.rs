//! The server and history that a session talks to.

use millstream_pipeline::source::SourceIdentity;
use millstream_store::connect::GenericClient;
use millstream_store::table::server;

use crate::error::{During, OutboxError};

/// Reads the identity of the server. The timeline is the one being written to, as `IDENTIFY_SYSTEM` reports it; the
/// control file holds that of the last checkpoint.
///
/// # Errors
/// When the database refuses, as a standby does.
pub async fn source_identity<C: GenericClient>(client: &C) -> Result<SourceIdentity, OutboxError> {
    let server = server::identity(client).await.during("reading the identity of the server")?;
    Ok(SourceIdentity { system_identifier: server.system_identifier, timeline: server.timeline })
}
