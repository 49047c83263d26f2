//! DDL text of a model. PostgreSQL is the engine that the system runs on; another dialect is another file beside it.

mod postgres;

pub use postgres::{column_type, postgres, quote, short};
