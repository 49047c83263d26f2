//! Errors of provisioning, with their remedies.

use crate::error::StoreError;

/// Why a database was not built. It is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// The server is too old.
    #[error("the server is PostgreSQL {found}; Millstream needs {needed} or later")]
    ServerTooOld {
        /// Its major version.
        found: i32,
        /// The oldest supported one.
        needed: i32,
    },
    /// The database does not store Unicode.
    #[error(
        "database {database} has encoding {found}, which cannot store every name: create one with CREATE DATABASE \
         \"NAME\" TEMPLATE template0 ENCODING 'UTF8', and use that"
    )]
    Encoding {
        /// The database.
        database: String,
        /// Its encoding.
        found: String,
    },
    /// The database was built for another set of ApiSchema files.
    #[error(
        "the database was built for effective schema {found}, these files are {wanted}: use the files it was built for, or another database"
    )]
    OtherSchema {
        /// Hash in the database.
        found: String,
        /// Hash of the files.
        wanted: String,
    },
    /// The contents are not those of a database that Millstream built.
    #[error("the database cannot be used: {reason}. Restore it, or use an empty database")]
    Damaged {
        /// Description of the contradiction.
        reason: String,
    },
    /// One transaction creates more relations than the server's lock table has room for.
    #[error(
        "making the tables takes about {needed} locks at once and the server has room for {available}: set max_locks_per_transaction = {setting} or more and restart it"
    )]
    TooFewLocks {
        /// Locks that the script takes.
        needed: u64,
        /// Locks that all sessions together can hold.
        available: u64,
        /// A sufficient setting.
        setting: u64,
    },
    /// The role lacks a privilege.
    #[error(
        "role {role} may not create schemas and publications in database {database}: as its owner, GRANT CREATE ON DATABASE \"{database}\" TO \"{role}\""
    )]
    MissingPrivilege {
        /// The role.
        role: String,
        /// The database.
        database: String,
    },
    /// Another session is building the same database and does not finish.
    #[error("another session has been building this database for a minute: wait for it, or end it")]
    Busy,
    /// A statement of the script failed.
    #[error("the tables could not be made, near `{near}`")]
    Ddl {
        /// The line of the script.
        near: String,
        /// The server's error.
        #[source]
        source: StoreError,
    },
    /// Columns that an earlier version lacks could not be added.
    #[error(
        "the database was built by an earlier version, and {} could not be added: run `millstream ddl apply` as the owner of the tables",
        missing.join(", ")
    )]
    Upgrade {
        /// Names of the columns.
        missing: Vec<String>,
        /// The server's error.
        #[source]
        source: StoreError,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ProvisionError {
    /// The error of waiting for the other applier.
    pub(super) fn waiting(error: StoreError) -> Self {
        match error.kind() {
            crate::error::ErrorKind::LockTimeout => Self::Busy,
            _ => Self::Store(error),
        }
    }

    /// The error of executing `script`, with the line that the server points at.
    pub(super) fn ddl(script: &str, error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::ErrorPosition;
        let position = error.as_db_error().and_then(|db| match db.position() {
            Some(ErrorPosition::Original(at)) => Some(*at as usize),
            _ => None,
        });
        let near = position.map_or("", |at| line_at(script, at));
        Self::Ddl { near: near.to_owned(), source: error.into() }
    }
}

/// The line of `text` that holds its character number `at` (from 1, as PostgreSQL counts).
fn line_at(text: &str, at: usize) -> &str {
    let offset = text.char_indices().nth(at.saturating_sub(1)).map_or(text.len(), |(offset, _)| offset);
    let start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    text[start..].lines().next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let text = "é one\n  two\nthree";
        assert_eq!(line_at(text, 1), "é one");
        assert_eq!(line_at(text, 9), "two");
        assert_eq!(line_at(text, 13), "three");
        assert_eq!(line_at(text, 99), "three");
    }
}
