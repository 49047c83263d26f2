//! `millstream up` and the other roles: components are started in order and stopped in the reverse order.
//!
//! Start: the schema is compiled and the address bound first, so that errors in them are reported before anything is
//! changed. Then the control socket (which refuses a second process on the same data folder), PostgreSQL, the tables if
//! the database is empty (a database of another schema is refused), the queue, the projector, the API. The projector
//! creates the slot and decides whether the cache has to be compared with the tables.
//!
//! Stop, on SIGTERM or Ctrl-C: no new requests, those in flight are answered, the projector finishes the work in flight,
//! the queue is flushed, the managed PostgreSQL is stopped. Work that is not finished at the deadline is repeated after
//! the next start; nothing that was accepted is lost, however the process ends.

mod components;
mod context;
mod maintenance;
mod options;
mod publish;
mod queue;
mod running;
mod search;
mod source;
mod start;
mod watchdog;

pub(crate) use options::writer as writer_options;
pub use publish::run as publish;
pub(crate) use queue::Queue;
pub(crate) use source::factory as source;
pub use start::run;
