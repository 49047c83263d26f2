//! Creates, describes and drops the slot.
//!
//! A first start has this order: publication, slot, then the backfill from a snapshot that is not older than the slot.
//! A slot that is older than the publication is unusable: decoding fails at records from before the publication
//! existed.

use std::io;
use std::time::Duration;

use millstream_pipeline::Position;
use millstream_pipeline::source::{SourceError, SourceIdentity};

use super::creation::create;
use super::errors;
use super::options::LogicalOptions;
use super::session::{self, SessionError, SlotRow, System};
use crate::source::failure::SourceFailure;

/// Limit on a session of this module, except for the creation of a slot, which waits for running transactions.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

/// The result of [`ensure_slot`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnsuredSlot {
    /// Whether this call created the slot. A new slot does not contain earlier commits.
    pub created: bool,
    /// The position at which its stream starts.
    pub position: Position,
    /// The identity of the slot's server.
    pub identity: SourceIdentity,
}

/// The health of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotStatus {
    /// The position that its consumer has confirmed.
    pub confirmed: Position,
    /// Start of the WAL that the server retains for it.
    pub restart_lsn: u64,
    /// Whether a session reads from it.
    pub active: bool,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: String,
    /// Bytes of WAL until the slot may be lost; `None` without a limit.
    pub safe_wal_bytes: Option<i64>,
    /// Bytes of WAL that the server retains for it.
    pub retained_wal_bytes: i64,
    /// The identity of the slot's server.
    pub identity: SourceIdentity,
    /// The end of the server's log on disk.
    pub wal_end: u64,
}

impl SlotStatus {
    /// Checks that neither the slot nor `stored`, the durable position of this process, is ahead of the server's log.
    ///
    /// # Errors
    /// [`SourceError::Behind`] when the server was put back to an earlier state.
    pub fn check_not_ahead(&self, stored: Position) -> Result<(), SourceError> {
        check_not_ahead(stored.max(self.confirmed), self.wal_end)
    }
}

/// Checks the publication, then creates the slot if it does not exist. Creation waits for running transactions.
///
/// # Errors
/// The server is unreachable or refuses, the publication is missing, the slot belongs to another plugin or database, or
/// the slot is lost; [`SourceError::Behind`] when the slot is ahead of the server's log.
pub async fn ensure_slot(options: &LogicalOptions) -> Result<EnsuredSlot, SourceError> {
    options.check()?;
    ensure(options).await.map_err(|error| explain(options, "creating the slot", error))
}

/// Reads the status of the slot; `None` if it does not exist.
///
/// # Errors
/// The server is unreachable or refuses, or the slot belongs to another database.
pub async fn slot_status(options: &LogicalOptions) -> Result<Option<SlotStatus>, SourceError> {
    options.check()?;
    let status = async {
        let mut client = session::open(options, 0).await?;
        let system = session::identify(&mut client).await?;
        match session::slot(&mut client, &options.slot).await? {
            Some(row) if row.database != options.database => Err(SessionError::from(unusable(options, &row))),
            row => Ok((row, system)),
        }
    };
    let (row, system) = within(status).await.map_err(|error| explain(options, "reading the slot", error))?;
    Ok(row.map(|row| SlotStatus {
        confirmed: Position::before(row.confirmed),
        restart_lsn: row.restart,
        active: row.active,
        wal_status: row.wal_status,
        safe_wal_bytes: row.safe_wal_bytes,
        retained_wal_bytes: row.retained_wal_bytes,
        identity: system.identity,
        wal_end: system.wal_end,
    }))
}

/// Terminates the session that reads from the slot, if any, and returns whether there was one. The holder of the relay
/// lease calls it if a process that hangs or has died still occupies the slot. Slot names are global to the server, so
/// the session is left alone if the slot belongs to another database.
///
/// # Errors
/// The server is unreachable or refuses.
pub async fn free_slot(options: &LogicalOptions) -> Result<bool, SourceError> {
    options.check()?;
    let free = async {
        let mut client = session::open(options, 0).await?;
        let sql = format!(
            "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_catalog.pg_replication_slots \
             WHERE slot_name = '{}' AND active AND database = current_database()",
            options.slot
        );
        Ok(client.simple_query(&sql).await?)
    };
    let rows = within(free).await.map_err(|error| explain(options, "freeing the slot", error))?;
    Ok(!rows.is_empty())
}

/// Drops the slot if it exists and belongs to this database. Returns whether it was dropped.
///
/// # Errors
/// The server is unreachable or refuses, for example because the slot is in use.
pub async fn drop_slot(options: &LogicalOptions) -> Result<bool, SourceError> {
    options.check()?;
    let drop = async {
        let mut client = session::open(options, 0).await?;
        let sql = format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots \
             WHERE slot_name = '{}' AND database = current_database()",
            options.slot
        );
        Ok(client.simple_query(&sql).await?)
    };
    let rows = within(drop).await.map_err(|error| explain(options, "dropping the slot", error))?;
    Ok(!rows.is_empty())
}

async fn ensure(options: &LogicalOptions) -> Result<EnsuredSlot, SessionError> {
    let found = within(async {
        let mut client = session::open(options, 0).await?;
        let system = session::identify(&mut client).await?;
        session::check_publication(&mut client, &options.publication).await?;
        let row = session::slot(&mut client, &options.slot).await?;
        Ok((client, system, row))
    });
    let (mut client, System { identity, wal_end }, row) = found.await?;
    if let Some(row) = row {
        check(options, &row)?;
        check_not_ahead(Position::before(row.confirmed), wal_end)?;
        return Ok(EnsuredSlot { created: false, position: Position::before(row.confirmed), identity });
    }
    let lsn = create(&mut client, options).await?;
    Ok(EnsuredSlot { created: true, position: Position::before(lsn.0), identity })
}

/// Checks that a position is not behind the end of the server's log.
pub(super) fn check_not_ahead(position: Position, wal_end: u64) -> Result<(), SourceError> {
    if position.lsn > wal_end {
        return Err(SourceError::Behind { stored: position, server: Position::before(wal_end) });
    }
    Ok(())
}

/// Ends a session whose server does not answer. What is done here takes milliseconds; freeing a slot, some seconds.
async fn within<T>(session: impl Future<Output = Result<T, SessionError>>) -> Result<T, SessionError> {
    let unanswered = |_| {
        let message = format!("the server did not answer within {SESSION_TIMEOUT:?}");
        SessionError::Client(io::Error::new(io::ErrorKind::TimedOut, message).into())
    };
    tokio::time::timeout(SESSION_TIMEOUT, session).await.map_err(unanswered)?
}

/// Checks that a source can stream from the slot.
pub(super) fn check(options: &LogicalOptions, row: &SlotRow) -> Result<(), SourceError> {
    // The owner is checked first: callers recreate a lost slot, and must not touch a slot of another database.
    if row.plugin != "pgoutput" || row.database != options.database {
        return Err(unusable(options, row));
    }
    if row.wal_status == "lost" {
        let what = format!("slot {}", options.slot);
        let detail = "the server has removed the log behind it (max_slot_wal_keep_size)".to_owned();
        return Err(SourceError::Lost { what, detail });
    }
    Ok(())
}

fn unusable(options: &LogicalOptions, row: &SlotRow) -> SourceError {
    let detail = format!(
        "it is a slot of plugin {:?} on database {:?}, not of pgoutput on {:?}: choose another name (source.slot)",
        row.plugin, row.database, options.database
    );
    SourceError::Refused { what: format!("using slot {}", options.slot), detail }
}

/// Converts the error of one attempt; the caller decides whether to retry.
fn explain(options: &LogicalOptions, what: &str, error: SessionError) -> SourceError {
    let what = format!("{what} {}", options.slot);
    match error {
        SessionError::Source(error) => error,
        SessionError::Standby => SourceFailure::Retry(session::STANDBY.to_owned()).into_error(&what),
        SessionError::Client(error) => errors::classify(&what, &options.slot, &error).into_error(&what),
    }
}
