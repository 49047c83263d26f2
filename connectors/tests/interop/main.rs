//! A real Debezium connector in a real Kafka Connect worker, configured as docs/sources.md says: `make interop`.

// The account is printed.
#![allow(clippy::print_stdout)]

mod live;
mod page;
mod record;
#[path = "../source_suite/mod.rs"]
#[allow(dead_code, reason = "the consumer is used, the cases are not")]
mod source_suite;
