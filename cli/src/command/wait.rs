//! `millstream wait`: returns when a copy shows everything that was committed.

use crate::{
    config::Config,
    control::{self, Request, protocol::WaitDone},
    exit::Exit,
    failure::{Failure, Outcome},
};
use std::{
    io::Write,
    time::{Duration, Instant},
};

/// Time for the reply to arrive, beyond the deadline of the wait itself.
const GRACE: Duration = Duration::from_secs(10);

/// Waits. Exit code 3 if the copy has not caught up in time.
pub async fn run(
    version: i64,
    sink: Option<String>,
    timeout: Duration,
    config: &Config,
    out: &mut (dyn Write + Send),
) -> Outcome {
    let copy = sink.clone().unwrap_or_else(|| "the cache".to_owned());
    let started = Instant::now();
    let request = Request::Wait { version, sink, timeout_ms: timeout.as_millis() as u64 };
    let WaitDone { version } = control::call(&config.data_dir, &request, timeout + GRACE).await?;
    let waited_ms = started.elapsed().as_millis();
    writeln!(out, "{copy} shows version {version} and all before it, after {waited_ms} ms").map_err(Failure::failed)?;
    Ok(Exit::Done)
}
