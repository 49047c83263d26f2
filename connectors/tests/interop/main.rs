//! Interoperability with a real Debezium connector in a real Kafka Connect worker, configured as
//! docs/how-to/connect-debezium.md describes. Run with `make interop`.

// The test prints its counts.
#![allow(clippy::print_stdout)]

#[path = "../source_suite/consumer.rs"]
#[allow(dead_code, reason = "the suite of all sources uses the rest")]
mod consumer;
mod live;
mod page;
mod record;
