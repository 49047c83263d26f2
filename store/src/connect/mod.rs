//! Connections to a PostgreSQL server: options, TLS, and a pool.
//!
//! [`ConnectOptions`] is the description of a database that the whole program shares: the pool is built from it, and
//! the replication source takes host, port, user and password from it. [`Database`] is a pool that is cheap to clone;
//! [`Session`] is one connection outside any pool.

mod database;
mod options;
mod parse;
mod setup;
mod tls;

pub use database::{Client, Database, Session, Transaction};
pub use options::{ConnectOptions, Host, SslMode};
pub use parse::InvalidOptions;
pub use setup::SessionSetup;
pub use tls::tls_config;
