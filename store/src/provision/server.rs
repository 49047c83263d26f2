//! Facts about the server: version, settings, and privileges of the role.

use tokio_postgres::Client;

use super::error::ProvisionError;
use crate::{connect::ConnectOptions, error::StoreError};

/// Name of the publication of the outbox.
pub const PUBLICATION: &str = "millstream_outbox";

/// The oldest server that has all features in use (`xid8`, publications of partitioned tables, pgoutput messages).
const OLDEST_MAJOR: i32 = 14;
/// Share of the lock table, in percent, that other sessions may hold during the build.
const LOCKS_OF_OTHERS_PERCENT: u64 = 5;

/// The server's version and settings, and the role's privileges, as far as Millstream depends on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// 150018 for 15.18.
    pub version_num: i32,
    /// `logical` is needed to follow changes.
    pub wal_level: String,
    /// `max_locks_per_transaction`: the lock table has this many entries per session.
    pub max_locks_per_transaction: u64,
    /// Maximum number of sessions and other processes that share the lock table.
    pub lock_holders_max: u64,
    /// Whether the role may create schemas and publications in this database.
    pub may_create: bool,
    /// Whether the role may use replication slots.
    pub may_replicate: bool,
    /// Whether the server was built with lz4.
    pub has_lz4: bool,
    /// Encoding of the database.
    pub encoding: String,
}

/// Reads them from the server.
pub(super) async fn facts(client: &Client) -> Result<ServerFacts, StoreError> {
    // The lock table has room for max_locks_per_transaction × (every process that may run a transaction).
    let sql = "SELECT current_setting('server_version_num')::int4 AS version_num,
                      current_setting('wal_level') AS wal_level,
                      current_setting('server_encoding') AS encoding,
                      current_setting('max_locks_per_transaction')::int8 AS max_locks_per_transaction,
                      current_setting('max_connections')::int8 + current_setting('max_prepared_transactions')::int8
                          + current_setting('autovacuum_max_workers')::int8 + 1
                          + current_setting('max_worker_processes')::int8 + current_setting('max_wal_senders')::int8
                          AS lock_holders_max,
                      has_database_privilege(current_database(), 'CREATE') AS may_create,
                      (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user)
                          AS may_replicate,
                      EXISTS (SELECT FROM pg_settings
                              WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) AS has_lz4";
    let row = client.query_one(sql, &[]).await?;
    let natural = |name: &str| row.try_get::<_, i64>(name).map(|value| u64::try_from(value).unwrap_or(0));
    Ok(ServerFacts {
        version_num: row.try_get("version_num")?,
        wal_level: row.try_get("wal_level")?,
        max_locks_per_transaction: natural("max_locks_per_transaction")?,
        lock_holders_max: natural("lock_holders_max")?,
        may_create: row.try_get("may_create")?,
        may_replicate: row.try_get("may_replicate")?,
        has_lz4: row.try_get("has_lz4")?,
        encoding: row.try_get("encoding")?,
    })
}

impl ServerFacts {
    /// Checks that the server is new enough.
    pub(super) fn check_version(&self) -> Result<(), ProvisionError> {
        let found = self.version_num / 10_000;
        if found < OLDEST_MAJOR {
            return Err(ProvisionError::ServerTooOld { found, needed: OLDEST_MAJOR });
        }
        Ok(())
    }

    /// Checks that the database can store every character. With another encoding some values fail, and `SQL_ASCII`
    /// stores bytes without a check.
    ///
    /// # Errors
    /// [`ProvisionError::Encoding`], with the command that creates a database of the right encoding.
    pub fn check_encoding(&self, options: &ConnectOptions) -> Result<(), ProvisionError> {
        if self.encoding == "UTF8" {
            return Ok(());
        }
        Err(ProvisionError::Encoding { database: options.dbname().to_owned(), found: self.encoding.clone() })
    }

    /// Checks that the role may create schemas and publications.
    pub(super) fn check_privileges(&self, options: &ConnectOptions) -> Result<(), ProvisionError> {
        if self.may_create {
            return Ok(());
        }
        Err(ProvisionError::MissingPrivilege { role: options.user().to_owned(), database: options.dbname().to_owned() })
    }

    /// Checks that the lock table has room for `needed` locks.
    pub(super) fn check_locks(&self, needed: u64) -> Result<(), ProvisionError> {
        let available = self.max_locks_per_transaction * self.lock_holders_max * (100 - LOCKS_OF_OTHERS_PERCENT) / 100;
        if needed <= available {
            return Ok(());
        }
        let share = self.lock_holders_max.max(1) * (100 - LOCKS_OF_OTHERS_PERCENT);
        let setting = (needed * 100).div_ceil(share).next_multiple_of(64);
        Err(ProvisionError::TooFewLocks { needed, available, setting })
    }
}

/// Drops the publication if it publishes nothing: dropping schema `dms` leaves it behind, and creating it would fail.
pub(super) async fn drop_orphaned_publication(client: &Client) -> Result<(), StoreError> {
    let sql = "SELECT FROM pg_publication p WHERE p.pubname = $1
               AND NOT p.puballtables AND NOT EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid)";
    if client.query_opt(sql, &[&PUBLICATION]).await?.is_some() {
        client.batch_execute(&format!("DROP PUBLICATION \"{PUBLICATION}\"")).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> ServerFacts {
        ServerFacts {
            version_num: 150_018,
            wal_level: "logical".to_owned(),
            max_locks_per_transaction: 64,
            lock_holders_max: 122,
            may_create: true,
            may_replicate: true,
            has_lz4: true,
            encoding: "UTF8".to_owned(),
        }
    }

    #[test]
    fn the_setting_named_is_one_that_will_do() {
        assert!(facts().check_locks(7_000).is_ok());
        for needed in [7_600, 12_000, 100_000] {
            let Err(ProvisionError::TooFewLocks { setting, available, .. }) = facts().check_locks(needed) else {
                panic!("{needed} locks were thought to fit")
            };
            assert_eq!(available, 7_417);
            assert!(ServerFacts { max_locks_per_transaction: setting, ..facts() }.check_locks(needed).is_ok());
        }
    }

    #[test]
    fn old_servers_are_refused() {
        assert!(ServerFacts { version_num: 130_011, ..facts() }.check_version().is_err());
        assert!(ServerFacts { version_num: 140_000, ..facts() }.check_version().is_ok());
    }
}
