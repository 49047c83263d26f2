//! The creation of a slot, which waits for every transaction that was running when it began.
//!
//! The wait has no limit: it ends with those transactions, and a creation that is cut off starts from scratch. The server drops a
//! slot whose creation does not end. While it lasts, the log names the transactions.

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::source::SourceError;
use pgwire_replication::{Lsn, ReplicationClient};

use super::options::LogicalOptions;
use super::session::{self, SessionError, text};

/// Time after which a creation counts as waiting.
const FIRST_REPORT: Duration = Duration::from_secs(2);
/// Interval between two reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// Limit on the session that looks for the cause of the wait.
const REPORT_LIMIT: Duration = Duration::from_secs(5);

/// A transaction that the creation waits for.
#[derive(Debug, Default)]
struct Awaited {
    pid: String,
    transaction: String,
    application: String,
    since: String,
}

/// Creates the slot; returns the position at which its stream starts.
pub(super) async fn create(client: &mut ReplicationClient, options: &LogicalOptions) -> Result<Lsn, SessionError> {
    let rows = client.simple_query("SELECT pg_backend_pid()").await?;
    let pid = rows.first().and_then(|row| text(row, 0)).and_then(|text| text.parse::<i32>().ok());
    let sql = format!("SELECT lsn FROM pg_create_logical_replication_slot('{}', 'pgoutput')", options.slot);
    let mut creation = Box::pin(client.simple_query(&sql));
    let mut pause = FIRST_REPORT;
    let rows = loop {
        match tokio::time::timeout(pause, &mut creation).await {
            Ok(rows) => break rows?,
            Err(_) => report(options, pid).await,
        }
        pause = REPORT_INTERVAL;
    };
    let lsn = rows.first().and_then(|row| text(row, 0)).and_then(|text| Lsn::parse(text).ok());
    let missing = || SourceError::Unreadable("the server created a slot and returned no position".to_owned());
    Ok(lsn.ok_or_else(missing)?)
}

/// Logs what the creation waits for. A failure to find that out does not end the creation.
async fn report(options: &LogicalOptions, pid: Option<i32>) {
    let Some(pid) = pid else { return };
    match tokio::time::timeout(REPORT_LIMIT, awaited(options, pid)).await {
        Ok(Ok(awaited)) => {
            for Awaited { pid, transaction, application, since } in awaited {
                tracing::warn!(
                    slot = options.slot,
                    pid,
                    transaction,
                    application,
                    since,
                    "the creation of the slot waits for a transaction to end; end it with \
                     pg_terminate_backend(pid) if it was forgotten"
                );
            }
        }
        Ok(Err(error)) => tracing::debug!(error = ?error, "cannot tell what the creation of the slot waits for"),
        Err(_) => tracing::debug!("timed out when looking for what the creation of the slot waits for"),
    }
}

async fn awaited(options: &LogicalOptions, pid: i32) -> Result<Vec<Awaited>, SessionError> {
    let mut client = session::open(options, 0).await?;
    let sql = format!(
        "SELECT pid, backend_xid, application_name, xact_start FROM pg_stat_activity \
         WHERE pid = ANY (pg_blocking_pids({pid}))"
    );
    let rows = client.simple_query(&sql).await?;
    let column = |row: &[Option<Bytes>], at| text(row, at).unwrap_or_default().to_owned();
    Ok(rows
        .iter()
        .map(|row| Awaited {
            pid: column(row, 0),
            transaction: column(row, 1),
            application: column(row, 2),
            since: column(row, 3),
        })
        .collect())
}
