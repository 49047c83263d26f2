//! Queries on a replication connection that has not started to stream: server, slot and publication. They use the same
//! credentials and protection as the stream itself.

use bytes::Bytes;
use millstream_pipeline::source::{SourceError, SourceIdentity};
use pgwire_replication::{Lsn, PgWireError, ReplicationClient};

use super::link;
use super::options::LogicalOptions;

/// A failure of the connection, or of a check made over it.
#[derive(Debug)]
pub(super) enum SessionError {
    Client(PgWireError),
    Source(SourceError),
    /// The server is a standby, which has neither the slot nor a log of its own. It may be promoted.
    Standby,
}

/// The text of [`SessionError::Standby`].
pub(super) const STANDBY: &str =
    "this server is a standby: waiting until it is promoted, or the address leads to the primary";

impl From<PgWireError> for SessionError {
    fn from(error: PgWireError) -> Self {
        Self::Client(error)
    }
}

impl From<SourceError> for SessionError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// The row of the slot in `pg_replication_slots`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotRow {
    pub(super) confirmed: u64,
    pub(super) restart: u64,
    pub(super) plugin: String,
    pub(super) database: String,
    pub(super) active: bool,
    pub(super) wal_status: String,
    pub(super) safe_wal_bytes: Option<i64>,
    pub(super) retained_wal_bytes: i64,
}

/// Asks whether the server is a standby, and removes the limits of the role and the database from the session: they would
/// cut off the creation of a slot, or an idle session. A limit that this version of the server does not have is skipped.
/// One statement without `DO`: a session for replication takes no other.
const BEGIN: &str = "SELECT pg_is_in_recovery(), \
     (SELECT count(set_config(name, '0', false)) \
        FROM (VALUES ('statement_timeout'), ('lock_timeout'), ('idle_session_timeout'), \
                     ('idle_in_transaction_session_timeout'), ('transaction_timeout')) AS setting (name) \
       WHERE current_setting(name, true) IS NOT NULL)";

/// Opens a connection to a server that is not a standby. `confirmed` is the position that it acknowledges when it starts
/// to stream.
pub(super) async fn open(options: &LogicalOptions, confirmed: u64) -> Result<ReplicationClient, SessionError> {
    let config = link::secure(options, options.replication_config(confirmed)).await?;
    let mut client = ReplicationClient::connect_gated(config).await?;
    let rows = client.simple_query(BEGIN).await?;
    match rows.first().and_then(|row| text(row, 0)) {
        Some("f") => Ok(client),
        _ => Err(SessionError::Standby),
    }
}

/// The server and the end of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct System {
    pub(super) identity: SourceIdentity,
    /// The end of the log on disk. No position that was ever received from this history lies behind it.
    pub(super) wal_end: u64,
}

/// Reads the server's identity and the end of its log.
pub(super) async fn identify(client: &mut ReplicationClient) -> Result<System, PgWireError> {
    let system = client.identify_system().await?;
    let timeline = i32::try_from(system.timeline)
        .map_err(|_| PgWireError::Protocol(format!("timeline {} is out of range", system.timeline)))?;
    let identity = SourceIdentity { system_identifier: system.system_id, timeline };
    Ok(System { identity, wal_end: system.xlogpos.0 })
}

/// Reads the slot; `None` if it does not exist.
pub(super) async fn slot(client: &mut ReplicationClient, name: &str) -> Result<Option<SlotRow>, PgWireError> {
    let sql = format!(
        "SELECT confirmed_flush_lsn, restart_lsn, plugin, database, active, wal_status, safe_wal_size, \
                pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::int8 \
           FROM pg_catalog.pg_replication_slots WHERE slot_name = '{name}'"
    );
    let Some(row) = client.simple_query(&sql).await?.into_iter().next() else { return Ok(None) };
    let field = |column: usize| text(&row, column).unwrap_or_default();
    // A slot that never reserved WAL, or whose WAL is gone, has no positions.
    let lsn = |column: usize| Lsn::parse(field(column)).map_or(0, |lsn| lsn.0);
    Ok(Some(SlotRow {
        confirmed: lsn(0),
        restart: lsn(1),
        plugin: field(2).to_owned(),
        database: field(3).to_owned(),
        active: field(4) == "t",
        wal_status: field(5).to_owned(),
        safe_wal_bytes: field(6).parse().ok(),
        retained_wal_bytes: field(7).parse().unwrap_or(0),
    }))
}

/// Checks that the publication exists and publishes inserts into the outbox.
pub(super) async fn check_publication(client: &mut ReplicationClient, name: &str) -> Result<(), SessionError> {
    let sql = format!(
        "SELECT p.pubinsert, EXISTS (SELECT FROM pg_catalog.pg_publication_tables AS t \
                WHERE t.pubname = p.pubname AND t.schemaname = 'dms' AND t.tablename LIKE 'Outbox%') \
           FROM pg_catalog.pg_publication AS p WHERE p.pubname = '{name}'"
    );
    let rows = client.simple_query(&sql).await?;
    let refuse = |detail: &str| {
        let what = format!("using publication {name}");
        Err(SessionError::Source(SourceError::Refused { what, detail: detail.to_owned() }))
    };
    match rows.first().map(|row| (text(row, 0), text(row, 1))) {
        None => refuse("it does not exist: apply the schema to this database before following it"),
        Some((Some("t"), Some("t"))) => Ok(()),
        Some((_, Some("t"))) => refuse("it does not publish inserts: create it with publish = 'insert'"),
        Some(_) => refuse("it does not publish \"dms\".\"Outbox\": add that table to it"),
    }
}

/// Returns a column of a row as text; `None` for NULL.
pub(super) fn text(row: &[Option<Bytes>], column: usize) -> Option<&str> {
    row.get(column)?.as_deref().and_then(|bytes| str::from_utf8(bytes).ok())
}
