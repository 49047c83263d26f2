//! Making, describing and removing the slot. The order of a first start is: publication, slot, then the backfill from a
//! snapshot that is not older than the slot; a publication that is younger than the slot poisons it.

use millstream_pipeline::Position;
use millstream_pipeline::source::{SourceError, SourceIdentity};
use pgwire_replication::Lsn;

use super::options::LogicalOptions;
use super::policy::{self, Verdict};
use super::session::{self, SessionError, SlotRow, text};

/// A slot that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnsuredSlot {
    /// It was made just now: nothing that committed before is in it.
    pub created: bool,
    /// Where its stream begins.
    pub position: Position,
    /// The server that it is on.
    pub identity: SourceIdentity,
}

/// A slot's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotStatus {
    /// How far its consumer has confirmed.
    pub confirmed: Position,
    /// From where on the server keeps its log for it.
    pub restart_lsn: u64,
    /// Whether somebody reads from it.
    pub active: bool,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: String,
    /// How much more log may be written before the slot is in danger, if there is a limit.
    pub safe_wal_bytes: Option<i64>,
    /// How much log the server keeps for it.
    pub retained_wal_bytes: i64,
}

/// Makes the slot if it is not there. The publication is checked first. Waits for transactions that are running.
///
/// # Errors
/// When the server cannot be reached or refuses, when the publication is missing, or when the slot is of another plugin
/// or database, or lost.
pub async fn ensure_slot(options: &LogicalOptions) -> Result<EnsuredSlot, SourceError> {
    options.check()?;
    ensure(options).await.map_err(|error| explain(options, "making the slot", error))
}

/// Describes the slot, `None` if it does not exist.
///
/// # Errors
/// When the server cannot be reached or refuses, or the slot is of another database.
pub async fn slot_status(options: &LogicalOptions) -> Result<Option<SlotStatus>, SourceError> {
    options.check()?;
    let status = async {
        let mut client = session::open(options, 0).await?;
        match session::slot(&mut client, &options.slot).await? {
            Some(row) if row.database != options.database => Err(SessionError::from(unusable(options, &row))),
            row => Ok(row),
        }
    };
    let row = status.await.map_err(|error| explain(options, "reading the slot", error))?;
    Ok(row.map(|row| SlotStatus {
        confirmed: Position::before(row.confirmed),
        restart_lsn: row.restart,
        active: row.active,
        wal_status: row.wal_status,
        safe_wal_bytes: row.safe_wal_bytes,
        retained_wal_bytes: row.retained_wal_bytes,
    }))
}

/// Ends the session that reads from the slot, if there is one: for who has the right to it and finds that a process that
/// sleeps, or is gone, still holds it. Slots are the server's: one of another database, which may have the same name, is
/// left alone. Answers whether there was one.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub async fn free_slot(options: &LogicalOptions) -> Result<bool, SourceError> {
    options.check()?;
    let free = async {
        let mut client = session::open(options, 0).await?;
        let sql = format!(
            "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_catalog.pg_replication_slots \
             WHERE slot_name = '{}' AND active AND database = current_database()",
            options.slot
        );
        client.simple_query(&sql).await
    };
    let rows = free.await.map_err(|error| explain(options, "freeing the slot", error.into()))?;
    Ok(!rows.is_empty())
}

/// Removes the slot if it exists and is this database's. Answers whether it did.
///
/// # Errors
/// When the server cannot be reached or refuses, because the slot is in use.
pub async fn drop_slot(options: &LogicalOptions) -> Result<bool, SourceError> {
    options.check()?;
    let drop = async {
        let mut client = session::open(options, 0).await?;
        let sql = format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots \
             WHERE slot_name = '{}' AND database = current_database()",
            options.slot
        );
        client.simple_query(&sql).await
    };
    let rows = drop.await.map_err(|error| explain(options, "dropping the slot", error.into()))?;
    Ok(!rows.is_empty())
}

async fn ensure(options: &LogicalOptions) -> Result<EnsuredSlot, SessionError> {
    let mut client = session::open(options, 0).await?;
    let identity = session::identity(&mut client).await?;
    session::check_publication(&mut client, &options.publication).await?;
    if let Some(row) = session::slot(&mut client, &options.slot).await? {
        check(options, &row)?;
        return Ok(EnsuredSlot { created: false, position: Position::before(row.confirmed), identity });
    }
    let sql = format!("SELECT lsn FROM pg_create_logical_replication_slot('{}', 'pgoutput')", options.slot);
    let rows = client.simple_query(&sql).await?;
    let lsn = rows.first().and_then(|row| text(row, 0)).and_then(|text| Lsn::parse(text).ok());
    let lsn = lsn.ok_or_else(|| SourceError::Unreadable("the server made a slot and did not say where".to_owned()))?;
    Ok(EnsuredSlot { created: true, position: Position::before(lsn.0), identity })
}

/// Refuses a slot that cannot be streamed from.
pub(super) fn check(options: &LogicalOptions, row: &SlotRow) -> Result<(), SourceError> {
    // First: a lost slot is made anew, and another's is not ours to touch.
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

/// For a single attempt: what would be worth another one is the caller's to decide.
fn explain(options: &LogicalOptions, what: &str, error: SessionError) -> SourceError {
    let what = format!("{what} {}", options.slot);
    match error {
        SessionError::Source(error) => error,
        SessionError::Client(error) => match policy::judge(&what, &options.slot, &error) {
            Verdict::Stop(error) => error,
            Verdict::Retry(detail) => SourceError::Refused { what, detail },
        },
    }
}
