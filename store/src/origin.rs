//! Which database is this? The check of every new session.
//!
//! A restart of the server ends all sessions, and so does a failover. What answers at the address then may be another
//! database, a standby, or the same database at an earlier time: a data directory that was put back, a volume that was
//! rolled back, a standby that lacked the last commits. Every new session of every process is therefore checked before
//! its first use. One with another database or with a standby is refused. In a database that is not as far as this
//! process has seen it, a new **history** begins ([`crate::table::history`]): the process that follows the outbox
//! compares all copies, work from before is done as far as it can be, and remembered rows are not used.

use crate::connect::{GenericClient, SessionSetup};
use crate::error::{ErrorKind, StoreError};
use crate::table::history::{self, DatabaseState};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio_postgres::Client;

/// The database that this process works for, as it was last seen. One per process, shared by all its pools.
#[derive(Debug, Default)]
pub struct Origin {
    seen: Mutex<Option<DatabaseState>>,
}

impl Origin {
    /// Checks a session.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Connect`] when the server is a standby or holds another database: the address may lead
    /// to the right one later. When the database fails.
    pub async fn check(&self, session: &Client) -> Result<(), StoreError> {
        let server = history::server_state(session).await?;
        if server.in_recovery {
            return Err(refused(
                "this server is a standby: it has to be promoted, or the address to lead to the primary",
            ));
        }
        if !server.provisioned {
            return Ok(());
        }
        // Read before the question is asked: later sessions may have seen more by the time of the answer.
        let seen = self.seen.lock().clone();
        let Some(mut found) = history::read(session).await? else { return Ok(()) };
        if let Some(seen) = seen {
            if !is_same_database(&seen, &found) {
                return Err(refused(format!(
                    "the database at this address is another one: {} was expected, {} answers; correct the address, or \
                     restart the process if the change is intended",
                    name(&seen),
                    name(&found)
                )));
            }
            if lost_commits(&seen, &found) {
                let begun =
                    history::begin(session, found.history, seen.history, seen.version, seen.document_id).await?;
                let (expected, answer) = (position(&seen), position(&found));
                tracing::warn!(
                    begun,
                    seen = expected,
                    found = answer,
                    "the database was put back to an earlier state, or failed over: new history; all copies are compared"
                );
                found = history::read(session).await?.unwrap_or(found);
            }
        }
        self.record(found);
        Ok(())
    }

    /// Looks how far the database has come, and returns it; `None` if the database was never provisioned. Call it
    /// regularly: what was never seen cannot be missed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn observe<C: GenericClient>(&self, session: &C) -> Result<Option<DatabaseState>, StoreError> {
        let known = self.seen.lock().is_some();
        let found = history::read(session).await?;
        // Before the check of a new session no database is known.
        if let Some(found) = found.clone().filter(|_| known) {
            self.record(found);
        }
        Ok(found)
    }

    fn record(&self, found: DatabaseState) {
        let mut seen = self.seen.lock();
        match &mut *seen {
            // An old session may still be connected to the server of an earlier history.
            Some(seen) if found.history < seen.history => {}
            Some(seen) if found.history == seen.history && found.timeline == seen.timeline => {
                seen.lsn = seen.lsn.max(found.lsn);
                seen.version = seen.version.max(found.version);
                seen.document_id = seen.document_id.max(found.document_id);
            }
            _ => *seen = Some(found),
        }
    }
}

impl SessionSetup for Origin {
    fn prepare<'a>(&'a self, session: &'a Client) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.check(session))
    }
}

fn is_same_database(seen: &DatabaseState, found: &DatabaseState) -> bool {
    (&seen.system_identifier, seen.database) == (&found.system_identifier, found.database)
}

/// Whether the database may lack commits that were seen. Versions and DocumentIds are no evidence: a transaction that is
/// rolled back by a crash draws them too.
fn lost_commits(seen: &DatabaseState, found: &DatabaseState) -> bool {
    match found.history.cmp(&seen.history) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Equal => found.timeline != seen.timeline || found.lsn < seen.lsn,
        // Another process has found it first.
        std::cmp::Ordering::Greater => false,
    }
}

fn name(state: &DatabaseState) -> String {
    format!("database {} on system {}", state.database, state.system_identifier)
}

fn position(state: &DatabaseState) -> String {
    format!("timeline {}, log {}, history {}", state.timeline, state.lsn, state.history)
}

fn refused(message: impl Into<String>) -> StoreError {
    StoreError::new(ErrorKind::Connect, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn state(timeline: i32, lsn: u64, history: i64) -> DatabaseState {
        let (system_identifier, database) = ("7".to_owned(), Uuid::from_u128(1));
        DatabaseState { system_identifier, timeline, database, history, lsn: lsn.into(), version: 0, document_id: 0 }
    }

    #[test]
    fn a_shorter_log_another_timeline_or_an_older_history_is_a_loss() {
        let seen = state(1, 80, 5);
        for (found, lost) in [
            (state(1, 80, 5), false),
            (state(1, 90, 5), false),
            (state(1, 79, 5), true),
            (state(2, 90, 5), true),
            (state(1, 90, 4), true),
            (state(2, 10, 6), false),
        ] {
            assert_eq!(lost_commits(&seen, &found), lost, "{found:?}");
        }
    }

    #[test]
    fn what_was_seen_is_not_forgotten_for_an_old_session() {
        let origin = Origin::default();
        origin.record(state(1, 80, 5));
        origin.record(state(2, 10, 6));
        origin.record(state(1, 99, 5));
        origin.record(state(2, 20, 6));
        origin.record(state(2, 15, 6));
        assert_eq!(*origin.seen.lock(), Some(state(2, 20, 6)));
    }
}
