//! `millstream up`: everything in one process, started in order and stopped in the reverse.
//!
//! Start: the schema is compiled and the address bound first, so that what is wrong with them is told before anything
//! happens. Then the control socket (which refuses a second process on the same data folder), PostgreSQL, the tables if
//! the database is empty (a database of another schema is refused), the queue, the projector, the API. The projector
//! makes the slot and finds out by itself whether cache and tables have to be compared.
//!
//! Stop, on SIGTERM or Ctrl-C: no new requests, those in flight are answered, the projector finishes what it has in
//! hand, the queue is flushed, the managed PostgreSQL is stopped. What is not finished at the deadline is done again
//! after the next start; nothing accepted is lost, however the process ends.

mod board;
mod desk;
mod numbers;
mod options;
mod parts;
mod publish;
mod queue;
mod recorder;
mod role;
mod running;
mod search;
mod source;
mod upkeep;

use crate::{
    command::Outcome, compiled::Compiled, config::Config, control::Control, database::Server, exit::Exit,
    failure::Failure, signal::Signals,
};
use board::Board;
pub(crate) use desk::{mend, told};
use metrics_exporter_prometheus::PrometheusHandle;
use millstream_store::{connect::Database, provision};
pub(crate) use parts::cache_replay;
pub use publish::run as publish;
pub(crate) use queue::Queue;
pub use recorder::describe as describe_metrics;
pub use role::Role;
use running::{Running, Why};
pub(crate) use source::factory as source;
use std::{io::Write, time::Instant};
use tokio::net::TcpListener;

/// Runs until told to stop. `out` gets one line when everything is ready.
pub async fn run(role: Role, config: Config, out: &mut (dyn Write + Send)) -> Outcome {
    role.check(&config)?;
    let started = Instant::now();
    let signals = Signals::take_over().map_err(Failure::failed)?;
    let files = config.schema_files().map_err(Failure::usage)?.to_vec();
    let compiled =
        tokio::task::spawn_blocking(move || Compiled::from_files(&files)).await.map_err(Failure::failed)??;
    let listener = TcpListener::bind(config.api.listen).await.map_err(|error| {
        Failure::failed(format!("cannot listen on {}: {error}; choose another --api-listen", config.api.listen))
    })?;
    std::fs::create_dir_all(&config.data_dir)
        .map_err(|error| Failure::failed(format!("cannot make the folder {}: {error}", config.data_dir.display())))?;
    let recorder = recorder::install()?;
    let board = Board::default();
    let control = Control::open(&config.data_dir, board.handler()).await?;
    let mut server = Server::own(&config).await?;
    let up = Up { role, config: &config, compiled, recorder, board, started, signals };
    let outcome = up.serve(listener, &mut server, out).await;
    let closed = server.close(config.shutdown_deadline).await;
    control.close().await;
    let exit = outcome?;
    closed.map(|()| exit)
}

/// What a start needs to know.
struct Up<'a> {
    role: Role,
    config: &'a Config,
    compiled: Compiled,
    recorder: PrometheusHandle,
    board: Board,
    started: Instant,
    signals: Signals,
}

impl Up<'_> {
    /// Starts, waits, stops. The server is the caller's to stop.
    async fn serve(mut self, listener: TcpListener, server: &mut Server, out: &mut (dyn Write + Send)) -> Outcome {
        let server_ready = self.started.elapsed();
        let database = server.connect(self.config.database.pool_size).await?;
        provision(&self.role, &database, &self.compiled).await?;
        let running = Running::start(&self, listener, server, database).await?;
        self.tell(&running.address, server_ready, out)?;
        let why = running.wait(&mut self.signals, server).await;
        tracing::info!(%why, "stopping");
        tokio::select! {
            stopped = running.stop(self.config.shutdown_deadline) => stopped?,
            signal = self.signals.next() => {
                return Err(Failure::failed(format!("stopped at once by a second signal ({signal}): the next start goes on")));
            }
        }
        match why {
            Why::Signal(_) => Ok(Exit::Done),
            Why::Broken(reason) => Err(Failure::failed(reason)),
        }
    }

    fn tell(&self, url: &str, server_ready: std::time::Duration, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
        for warning in &self.compiled.schema.warnings {
            tracing::warn!(warning, "the schema holds something odd");
        }
        let ready_ms = self.started.elapsed().as_millis() as u64;
        tracing::info!(
            url,
            schema_load_ms = self.compiled.load.as_millis() as u64,
            schema_derive_ms = self.compiled.derive.as_millis() as u64,
            schema_compile_ms = self.compiled.compile.as_millis() as u64,
            server_ready_ms = server_ready.as_millis() as u64,
            ready_ms,
            resources = self.compiled.mapping.resources.len(),
            schema_hash = self.compiled.schema.hash,
            "ready"
        );
        writeln!(out, "Millstream is ready at {url} ({ready_ms} ms)")
            .and_then(|()| out.flush())
            .map_err(Failure::failed)
    }
}

/// Gives an empty database its tables; refuses one that was built for another schema.
async fn provision(role: &Role, database: &Database, compiled: &Compiled) -> Result<(), Failure> {
    // Looks first: a server that may not make tables can still serve from those that are there.
    match provision::check(database, &compiled.schema).await.map_err(Failure::failed)? {
        provision::SchemaState::Current => Ok(()),
        // The relay makes the tables; whoever starts beside it waits for them.
        provision::SchemaState::Empty if !role.keeps_house() => Err(Failure::failed(
            "the database has no tables yet: start `millstream relay` first, or run `millstream ddl apply`",
        )),
        provision::SchemaState::Outdated { missing } if !role.keeps_house() => Err(Failure::failed(format!(
            "the database was built by an earlier version and lacks {}: start `millstream relay` of this version first, or \
             run `millstream ddl apply`",
            missing.join(", ")
        ))),
        _ => match provision::apply(database, &compiled.schema, &compiled.ddl()).await.map_err(Failure::failed)? {
            provision::Applied::Created => {
                tracing::info!(
                    resources = compiled.mapping.resources.len(),
                    "the database was empty and has its tables now"
                );
                Ok(())
            }
            provision::Applied::Upgraded => {
                tracing::info!("the database was built by an earlier version and has the columns of this one now");
                Ok(())
            }
            provision::Applied::AlreadyCurrent => Ok(()),
        },
    }
}
