//! What went wrong in the database, sorted into kinds that a caller can decide on.
//!
//! [`StoreError`] is opaque: ask it with [`StoreError::kind`] and its helpers. What it displays is one line without
//! data values: PostgreSQL puts the offending values into the DETAIL of a message, and those are people's records, so
//! the detail is kept apart ([`StoreError::detail`]) and never part of a log line by accident.

use std::{error::Error, fmt};

use deadpool_postgres::{PoolError, TimeoutType};
use tokio_postgres::error::{DbError, SqlState};

/// The kinds of failure that callers tell apart.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// 40001: the transaction could not be serialised with another; doing it again may succeed.
    Serialization,
    /// 40P01: two transactions waited for each other and this one was chosen to give way.
    Deadlock,
    /// 23505: a row with this key exists already.
    UniqueViolation {
        /// Name of the constraint or unique index.
        constraint: String,
    },
    /// 23503: a row refers to something that is not there, or something is still referred to.
    ForeignKeyViolation {
        /// Name of the foreign key.
        constraint: String,
        /// Table that owns the foreign key (the referring one).
        table: String,
    },
    /// 55P03: a lock was not granted within `lock_timeout`, or at once where `NOWAIT` asked for it.
    LockTimeout,
    /// 57014: the statement ran into `statement_timeout`, or somebody cancelled it.
    Cancelled,
    /// The server cannot be reached, went away, or has no connection left to give. Whether a commit that was under
    /// way took effect is not known.
    ConnectionLost,
    /// A table, column, function or type that the statement names is not there: the database was not provisioned, or
    /// for another schema.
    Schema {
        /// The server's words.
        message: String,
    },
    /// Anything else: a bug, a missing privilege, a full disk.
    Other,
}

/// A failed database operation.
#[derive(Debug)]
pub struct StoreError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    sqlstate: Option<SqlState>,
    constraint: Option<String>,
    table: Option<String>,
    detail: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An error that this side found out about, without a failed statement behind it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            sqlstate: None,
            constraint: None,
            table: None,
            detail: None,
            source: None,
        }))
    }

    /// An error of kind [`ErrorKind::Other`].
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Other, message)
    }

    fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Whether doing the whole transaction again is safe and may succeed: it was rolled back by the server because of
    /// another transaction ([`ErrorKind::Serialization`], [`ErrorKind::Deadlock`]). A lost connection is not: its
    /// commit may have happened.
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Serialization | ErrorKind::Deadlock)
    }

    /// Whether the server could not be reached or went away.
    pub fn is_connection_lost(&self) -> bool {
        self.0.kind == ErrorKind::ConnectionLost
    }

    /// The five characters that PostgreSQL answered with, if it did answer.
    pub fn sqlstate(&self) -> Option<&str> {
        self.0.sqlstate.as_ref().map(SqlState::code)
    }

    /// The constraint or unique index that was violated.
    pub fn constraint(&self) -> Option<&str> {
        self.0.constraint.as_deref()
    }

    /// The table that the failure is about.
    pub fn table(&self) -> Option<&str> {
        self.0.table.as_deref()
    }

    /// PostgreSQL's DETAIL. It may hold values of the row in question: not for logs.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.write_str(&inner.message)?;
        let Some(state) = &inner.sqlstate else { return Ok(()) };
        write!(f, " (SQLSTATE {}", state.code())?;
        if let Some(constraint) = &inner.constraint {
            write!(f, ", constraint \"{constraint}\"")?;
        }
        if let Some(table) = &inner.table {
            write!(f, ", table \"{table}\"")?;
        }
        f.write_str(")")
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            return from_db(db);
        }
        if error.is_closed() {
            return Self::new(ErrorKind::ConnectionLost, "the connection to PostgreSQL is closed");
        }
        // A refused certificate arrives as an I/O error too, but no second attempt will change it.
        let lost = error
            .source()
            .and_then(|source| source.downcast_ref::<std::io::Error>())
            .is_some_and(|io| io.kind() != std::io::ErrorKind::InvalidData);
        let kind = if lost { ErrorKind::ConnectionLost } else { ErrorKind::Other };
        let mut wrapped = Self::new(kind, format!("PostgreSQL client: {error}"));
        wrapped.0.source = error.into_source();
        wrapped
    }
}

fn from_db(db: &DbError) -> StoreError {
    let constraint = db.constraint().map(str::to_owned);
    let table = db.table().map(str::to_owned);
    let kind = kind_of(db, constraint.as_deref(), table.as_deref());
    StoreError(Box::new(Inner {
        kind,
        message: db.message().to_owned(),
        sqlstate: Some(db.code().clone()),
        constraint,
        table,
        detail: db.detail().map(str::to_owned),
        source: None,
    }))
}

fn kind_of(db: &DbError, constraint: Option<&str>, table: Option<&str>) -> ErrorKind {
    let named = |name: Option<&str>| name.unwrap_or_default().to_owned();
    match db.code() {
        code if *code == SqlState::T_R_SERIALIZATION_FAILURE => ErrorKind::Serialization,
        code if *code == SqlState::T_R_DEADLOCK_DETECTED => ErrorKind::Deadlock,
        code if *code == SqlState::UNIQUE_VIOLATION => ErrorKind::UniqueViolation { constraint: named(constraint) },
        code if *code == SqlState::FOREIGN_KEY_VIOLATION => {
            ErrorKind::ForeignKeyViolation { constraint: named(constraint), table: named(table) }
        }
        code if *code == SqlState::LOCK_NOT_AVAILABLE => ErrorKind::LockTimeout,
        code if *code == SqlState::QUERY_CANCELED => ErrorKind::Cancelled,
        code if is_connection_code(code) => ErrorKind::ConnectionLost,
        code if is_schema_code(code) => ErrorKind::Schema { message: db.message().to_owned() },
        _ => ErrorKind::Other,
    }
}

fn is_connection_code(code: &SqlState) -> bool {
    code.code().starts_with("08")
        || [
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
        ]
        .contains(code)
}

fn is_schema_code(code: &SqlState) -> bool {
    [
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_COLUMN,
        SqlState::UNDEFINED_FUNCTION,
        SqlState::UNDEFINED_OBJECT,
        SqlState::INVALID_SCHEMA_NAME,
    ]
    .contains(code)
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(TimeoutType::Wait) => Self::new(
                ErrorKind::ConnectionLost,
                "no pooled connection to PostgreSQL became free in time: raise the pool size or lower the load",
            ),
            PoolError::Timeout(_) => {
                Self::new(ErrorKind::ConnectionLost, "PostgreSQL did not accept a connection in time")
            }
            PoolError::Closed => Self::new(ErrorKind::ConnectionLost, "the connection pool is closed"),
            other => Self::other("the connection pool failed").caused_by(other),
        }
    }
}
