//! Options of the replication source: connection, slot, publication, intervals.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use millstream_pipeline::source::SourceError;
use millstream_store::connect::{ConnectOptions, SslMode};
use pgwire_replication::{Lsn, ReplicationConfig};

/// A logical replication source and its connection.
#[derive(Clone, PartialEq, Eq)]
pub struct LogicalOptions {
    /// Host name or address, or the directory of the Unix socket. Loopback TCP is faster than the socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// A role with the attribute REPLICATION.
    pub user: String,
    /// Its password; never printed.
    pub password: String,
    /// The database with `dms.Outbox`.
    pub database: String,
    /// TLS of the connection. Channel binding is not available on it.
    pub ssl_mode: SslMode,
    /// PEM file of certificate authorities for [`SslMode::VerifyFull`]; those of the operating system if not given.
    pub ssl_root_cert: Option<PathBuf>,
    /// Name of the slot: lower-case letters, digits and underscores.
    pub slot: String,
    /// Name of the publication.
    pub publication: String,
    /// Name of the connection in `pg_stat_activity`.
    pub application_name: String,
    /// Interval of the status messages that carry the confirmed position and keep the connection alive.
    pub status_interval: Duration,
    /// Interval of heartbeats in the WAL; `None` for none.
    pub heartbeat_interval: Option<Duration>,
    /// Minimum time between idle events, which report the server's progress while there are no changes.
    pub idle_interval: Duration,
    /// Silence of the server after which the source reconnects.
    pub silence_max: Duration,
    /// Maximum number of changes in a batch.
    pub batch_max: usize,
}

impl LogicalOptions {
    /// Options for a slot of a database, with default intervals and the default publication.
    pub fn new(database: &ConnectOptions, slot: impl Into<String>) -> Self {
        let password = database.password().map(String::from_utf8_lossy).unwrap_or_default();
        Self {
            host: database.host().to_string(),
            port: database.port(),
            user: database.user().to_owned(),
            password: password.into_owned(),
            database: database.dbname().to_owned(),
            ssl_mode: database.ssl_mode(),
            ssl_root_cert: database.ssl_root_cert().map(ToOwned::to_owned),
            slot: slot.into(),
            publication: "millstream_outbox".to_owned(),
            application_name: "millstream source".to_owned(),
            status_interval: Duration::from_secs(1),
            heartbeat_interval: Some(Duration::from_secs(10)),
            idle_interval: Duration::from_secs(1),
            silence_max: Duration::from_secs(120),
            batch_max: 1_000,
        }
    }

    /// Checks the names, which replication commands contain unquoted, and the batch size.
    pub(super) fn check(&self) -> Result<(), SourceError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let slot_is_plain = !self.slot.is_empty() && self.slot.len() <= 63 && self.slot.chars().all(plain);
        let refuse = |detail: &str| {
            Err(SourceError::Refused { what: format!("following slot {:?}", self.slot), detail: detail.to_owned() })
        };
        if !slot_is_plain {
            return refuse("a slot's name has 1 to 63 lower-case letters, digits and underscores: choose another");
        }
        if self.publication.is_empty() || self.publication.contains(['\'', '"', ',', '\0', '\\']) {
            return refuse("the name of the publication is empty or needs quoting: choose another");
        }
        if self.batch_max == 0 {
            return refuse("the batch size must be at least 1");
        }
        Ok(())
    }

    /// Returns the client's configuration for a stream without TLS that continues after `confirmed`.
    pub(super) fn replication_config(&self, confirmed: u64) -> ReplicationConfig {
        let config = ReplicationConfig::new(
            self.host.as_str(),
            self.user.as_str(),
            self.password.as_str(),
            self.database.as_str(),
            self.slot.as_str(),
            self.publication.as_str(),
        );
        config
            .with_port(self.port)
            .with_start_lsn(Lsn(confirmed))
            .with_ack_lsn(Lsn(confirmed))
            .with_status_interval(self.status_interval)
            .with_wakeup_interval(self.status_interval)
            .with_buffer_size(8_192)
            .with_application_name(self.application_name.as_str())
    }
}

impl fmt::Debug for LogicalOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogicalOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("ssl_mode", &self.ssl_mode)
            .field("slot", &self.slot)
            .field("publication", &self.publication)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> ConnectOptions {
        ConnectOptions::new("h", 1, "u", "d").with_password("secret")
    }

    #[test]
    fn names_that_need_quoting_are_refused() {
        let options = |slot: &str, publication: &str| LogicalOptions {
            publication: publication.to_owned(),
            ..LogicalOptions::new(&database(), slot)
        };
        assert!(options("millstream_1", "millstream_outbox").check().is_ok());
        for slot in ["", "Slot", "a-b", "a b", "a;drop", &"a".repeat(64)] {
            assert!(options(slot, "p").check().is_err(), "{slot:?} was accepted");
        }
        assert!(options("slot", "a','b").check().is_err());
    }

    #[test]
    fn the_password_is_not_printed() {
        let options = LogicalOptions::new(&database(), "s");
        assert!(!format!("{options:?}").contains("secret"));
    }
}
