//! Shared parts of the end-to-end tests: the pipeline in one process on a real PostgreSQL, clients, and oracles.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod answered_writes;
pub(crate) mod api_server;
pub(crate) mod comparison;
pub(crate) mod district;
pub(crate) mod http;
pub(crate) mod loaded;
pub(crate) mod loading;
pub(crate) mod oracle;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod running;
pub(crate) mod session;
pub(crate) mod shapes;
pub(crate) mod snapshot;
pub(crate) mod source;
pub(crate) mod tables;

use std::time::Duration;

/// Limit for the pipeline to become idle after any step of these tests.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(180);

/// Reports on stderr what a test did.
macro_rules! report {
    ($($argument:tt)*) => {{
        #[allow(clippy::print_stderr, reason = "tests report progress on stderr")]
        {
            eprintln!($($argument)*);
        }
    }};
}
pub(crate) use report;
