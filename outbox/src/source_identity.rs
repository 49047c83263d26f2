//! Which server and history a session talks to.

use millstream_pipeline::source::SourceIdentity;
use tokio_postgres::GenericClient;

use crate::OutboxError;

/// Reads the identity of the server. The timeline is the one being written to, as `IDENTIFY_SYSTEM` reports it; the control
/// file holds that of the last checkpoint.
///
/// # Errors
/// When the database refuses, as a standby does.
pub async fn source_identity<C: GenericClient + Sync>(client: &C) -> Result<SourceIdentity, OutboxError> {
    const ACTION: &str = "reading the identity of the server";
    const SQL: &str = "SELECT system_identifier::text, \
                       ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int4 \
                       FROM pg_control_system()";
    let row = client.query_one(SQL, &[]).await.map_err(OutboxError::database(ACTION))?;
    Ok(SourceIdentity {
        system_identifier: row.try_get(0).map_err(OutboxError::database(ACTION))?,
        timeline: row.try_get(1).map_err(OutboxError::database(ACTION))?,
    })
}
