//! Database failures, classified into kinds that callers can decide on.
//!
//! [`StoreError`] is opaque: use [`StoreError::kind`] and its helpers. It displays one line without data values and
//! without its source. PostgreSQL puts the offending values into the DETAIL of a message, and those are personal
//! records, so the detail is separate ([`StoreError::detail`]) and never part of a log line by accident.

mod sqlstate;

use std::{error::Error, fmt, sync::Arc};

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
    /// No connection: the server cannot be reached, refused the handshake (certificate, password, database, number of
    /// connections), or the pool had no free connection in time. Nothing was sent, so the failure concerns no statement
    /// and no document.
    Connect,
    /// The connection broke, the server ended the session, or it did not answer in time. The outcome of a commit in
    /// flight is unknown.
    ConnectionLost,
    /// The connection broke after a `COMMIT` was sent and before its answer came: the transaction is committed or rolled
    /// back, and which of them is unknown.
    OutcomeUnknown,
    /// 25006: the server, or this session, does not accept writes, as after a switchover.
    ReadOnly,
    /// Class 53 and 58030: the server is out of disk, memory or another resource, or cannot read its files.
    Resources,
    /// A table, column, function or type that the statement names does not exist: the database was not provisioned, or
    /// was provisioned for another schema.
    Schema {
        /// The server's message.
        message: String,
    },
    /// A value could not be encoded for the server or decoded from it.
    Value,
    /// Anything else: a bug, a missing privilege.
    Other,
}

/// A failed database operation. A clone is for another operation that failed with this one.
#[derive(Debug, Clone)]
pub struct StoreError(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    action: Option<&'static str>,
    message: String,
    sqlstate: Option<SqlState>,
    constraint: Option<String>,
    table: Option<String>,
    detail: Option<String>,
    source: Option<Arc<dyn Error + Send + Sync>>,
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
        matches!(self.0.kind, ErrorKind::Connect | ErrorKind::ConnectionLost | ErrorKind::OutcomeUnknown)
    }

    /// Whether the database as a whole cannot serve, whatever it is asked for.
    pub fn is_outage(&self) -> bool {
        self.is_connection_lost() || matches!(self.0.kind, ErrorKind::ReadOnly | ErrorKind::Resources)
    }

    /// Whether the database could not serve a correct request at the moment: the same request may succeed later.
    pub fn is_unavailable(&self) -> bool {
        self.is_outage() || matches!(self.0.kind, ErrorKind::LockTimeout | ErrorKind::Cancelled)
    }

    /// Whether the session that returned this error must not be used again: it is lost, or its server refuses all
    /// further writes.
    pub(crate) fn ends_session(&self) -> bool {
        self.is_connection_lost() || self.0.kind == ErrorKind::ReadOnly
    }

    /// The error as one of a statement that was sent together with a `COMMIT`.
    pub(crate) fn of_commit(mut self) -> Self {
        if self.0.kind == ErrorKind::ConnectionLost {
            self.0.kind = ErrorKind::OutcomeUnknown;
        }
        self
    }

    /// The error as one of connecting: whatever the server or this side refused, no statement was sent.
    pub(crate) fn of_connecting(mut self) -> Self {
        self.0.kind = ErrorKind::Connect;
        self
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
        let source = error.source();
        let io = source.and_then(|source| source.downcast_ref::<std::io::Error>());
        let kind = if is_of_value(&error) {
            ErrorKind::Value
        } else if io.is_some_and(|io| io.kind() != std::io::ErrorKind::InvalidData) {
            ErrorKind::ConnectionLost
        } else {
            ErrorKind::Other
        };
        let mut wrapped = Self::new(kind, format!("PostgreSQL client: {error}"));
        wrapped.0.source = error.into_source().map(Arc::from);
        wrapped
    }
}

/// Whether the driver could not encode or decode a value. Its error kinds are private; their texts are not.
fn is_of_value(error: &tokio_postgres::Error) -> bool {
    let text = error.to_string();
    const STARTS: [&str; 3] =
        ["error serializing parameter", "error deserializing column", "error encoding message to server"];
    STARTS.iter().any(|start| text.starts_with(start))
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
        SqlStateClass::ReadOnly => ErrorKind::ReadOnly,
        SqlStateClass::Resources => ErrorKind::Resources,
        SqlStateClass::Schema => ErrorKind::Schema { message: db.message().to_owned() },
        SqlStateClass::Other => ErrorKind::Other,
    }
}
