//! Connections to a PostgreSQL server: options, TLS, settings, and pools.
//!
//! [`ConnectOptions`] is the description of a database that the whole program shares: pools are built from it, and the
//! replication source takes host, port, user and password from it. [`Database`] is a pool that is cheap to clone;
//! [`Session`] is one connection outside any pool. Each session gives itself its [`SessionSettings`]; [`SessionSetup`]
//! is the hook for further work on each new session of a pool.

mod client;
mod database;
mod establish;
mod generic_client;
mod keep_alive;
mod manager;
mod options;
mod parse;
mod pooler;
mod session;
mod settings;
mod setup;
mod statements;
mod tls;
mod trust;
mod watch;

pub use client::{Connection, Transaction, TransactionBuilder};
pub use database::{Database, PoolOptions, PoolStatus};
pub use generic_client::GenericClient;
pub use keep_alive::keep_alive;
pub use manager::{Client, SessionManager};
pub use options::{ConnectOptions, Host, SslMode};
pub use parse::InvalidOptions;
pub use pooler::{PoolerError, check_sessions};
pub use session::Session;
pub use settings::SessionSettings;
pub(crate) use settings::milliseconds;
pub use setup::SessionSetup;
pub use tls::tls_config;
