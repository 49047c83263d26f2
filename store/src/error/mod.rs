//! Database failures, classified into kinds that callers can decide on.
//!
//! [`StoreError`] is opaque: use [`StoreError::kind`] and its helpers. It displays one line without data values and
//! without its source. PostgreSQL puts the offending values into the DETAIL of a message, and those are personal
//! records, so the detail is separate ([`StoreError::detail`]) and never part of a log line by accident.

mod sqlstate;

use std::{error::Error, fmt};

use deadpool_postgres::{PoolError, TimeoutType};
use tokio_postgres::error::{DbError, SqlState};

pub use sqlstate::is_transient;
use sqlstate::{SqlStateClass, class_of};

/// The kinds of failure that callers tell apart.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// 40001: the transaction could not be serialized with another; a retry may succeed.
    Serialization,
    /// 40P01: two transactions waited for each other and the server aborted this one.
    Deadlock,
    /// 23505: a row with this key exists already.
    UniqueViolation {
        /// Name of the constraint or unique index.
        constraint: String,
    },
    /// 23503: a row refers to a missing row, or a row is still referred to.
    ForeignKeyViolation {
        /// Name of the foreign key.
        constraint: String,
        /// Table that owns the foreign key (the referring one).
        table: String,
    },
    /// 55P03: a lock was not granted within `lock_timeout`, or not immediately under `NOWAIT`.
    LockTimeout,
    /// 57014: the statement ran into `statement_timeout`, or was cancelled.
    Cancelled,
    /// The server cannot be reached, went away, or has no free connection. The outcome of a commit in flight is
    /// unknown.
    ConnectionLost,
    /// A table, column, function or type that the statement names does not exist: the database was not provisioned, or
    /// was provisioned for another schema.
    Schema {
        /// The server's message.
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
    action: Option<&'static str>,
    message: String,
    sqlstate: Option<SqlState>,
    constraint: Option<String>,
    table: Option<String>,
    detail: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An error that the client detected, without a failed statement.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            action: None,
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

    /// The kind of the failure.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Whether repeating the whole transaction is safe and may succeed: the server rolled it back because of another
    /// transaction ([`ErrorKind::Serialization`], [`ErrorKind::Deadlock`]). A lost connection is not retryable: the
    /// commit may have happened.
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Serialization | ErrorKind::Deadlock)
    }

    /// Whether the server could not be reached or went away.
    pub fn is_connection_lost(&self) -> bool {
        self.0.kind == ErrorKind::ConnectionLost
    }

    /// The SQLSTATE, if the server answered.
    pub fn sqlstate(&self) -> Option<&str> {
        self.0.sqlstate.as_ref().map(SqlState::code)
    }

    /// The constraint or unique index that was violated.
    pub fn constraint(&self) -> Option<&str> {
        self.0.constraint.as_deref()
    }

    /// The table that the failure concerns.
    pub fn table(&self) -> Option<&str> {
        self.0.table.as_deref()
    }

    /// PostgreSQL's DETAIL. It may contain values of the row: do not log it.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(action) = inner.action {
            write!(f, "{action}: ")?;
        }
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

/// Names the operation that failed: `client.execute(sql, &[]).await.during("pruning tombstones")?`.
pub trait During<T> {
    /// Puts `action` in front of the error's message.
    fn during(self, action: &'static str) -> Result<T, StoreError>;
}

impl<T, E: Into<StoreError>> During<T> for Result<T, E> {
    fn during(self, action: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| {
            let mut error = error.into();
            error.0.action = Some(action);
            error
        })
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
        // A refused certificate arrives as an I/O error too, but a retry would fail as well.
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
        action: None,
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
    match class_of(db.code().code()) {
        SqlStateClass::Serialization => ErrorKind::Serialization,
        SqlStateClass::Deadlock => ErrorKind::Deadlock,
        SqlStateClass::UniqueViolation => ErrorKind::UniqueViolation { constraint: named(constraint) },
        SqlStateClass::ForeignKeyViolation => {
            ErrorKind::ForeignKeyViolation { constraint: named(constraint), table: named(table) }
        }
        SqlStateClass::LockTimeout => ErrorKind::LockTimeout,
        SqlStateClass::Cancelled => ErrorKind::Cancelled,
        SqlStateClass::ConnectionLost => ErrorKind::ConnectionLost,
        SqlStateClass::Schema => ErrorKind::Schema { message: db.message().to_owned() },
        SqlStateClass::Other => ErrorKind::Other,
    }
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
