//! What the end-to-end tests share: everything in one process on a real PostgreSQL, clients of it, and oracles.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod child;
pub(crate) mod dice;
pub(crate) mod door;
pub(crate) mod http;
pub(crate) mod loaded;
pub(crate) mod loading;
pub(crate) mod oracle;
pub(crate) mod posted;
pub(crate) mod running;
pub(crate) mod shapes;
pub(crate) mod snapshot;
pub(crate) mod source;
pub(crate) mod tables;

use std::time::Duration;

/// How long the whole line may take to come to rest after anything that these tests do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Says on stderr what a test did.
macro_rules! say {
    ($($argument:tt)*) => {{
        #[allow(clippy::print_stderr, reason = "tests report on stderr")]
        {
            eprintln!($($argument)*);
        }
    }};
}
pub(crate) use say;
