//! `millstream demo`: Millstream in a few minutes, on a database of its own that is removed afterwards.
//!
//! The demo starts a process, loads documents, renames the documents that most others embed and reads their dependents at
//! once, kills the process in the middle of a second load and restarts it, then recomputes everything from rows and
//! compares. It ends by itself; its last line is `differences: N`.

mod catch_up;
mod choice;
mod client;
mod data;
mod lag;
mod output;
mod process;
mod rename;
mod scenario;

pub use scenario::run;
