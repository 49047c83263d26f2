//! The projector on a real PostgreSQL. One binary, so that its modules share a cluster; each test has a database.

mod cascade;
mod delivery;
mod history;
mod intake;
mod live;
mod memory;
mod poison;
mod proof;
mod sink_manager;
mod streams;
mod support;
mod timeouts;
mod tombstones;
mod versions;
mod visibility;
mod watchdog;
