//! The hook for work on each new session.

use std::fmt;

use futures::future::BoxFuture;

use crate::error::StoreError;

/// Work on each new session of a pool, once, after its settings are applied and before its first use.
///
/// The pool calls it whenever it opens a connection: at the start, when it grows, and after a server restart, which
/// ends all sessions. The right place for checks that the database behind the address is still the same.
pub trait SessionSetup: fmt::Debug + Send + Sync {
    /// Prepares or checks the session.
    ///
    /// # Errors
    /// An error closes the session, and is returned to the caller who asked the pool for a connection.
    fn prepare<'a>(&'a self, session: &'a tokio_postgres::Client) -> BoxFuture<'a, Result<(), StoreError>>;
}
