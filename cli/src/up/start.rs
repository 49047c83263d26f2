//! Start, wait and stop of a process with one role.

use super::{
    context::StartContext,
    running::{Running, StopReason},
};
use crate::{
    compiled::Compiled,
    config::Config,
    control::{Control, handlers::handler},
    database::Server,
    exit::Exit,
    failure::{Failure, Outcome},
    process::{pools::Pools, role::Role, state::ProcessState},
    signal::Signals,
    telemetry::recorder,
};
use millstream_store::{
    connect::Database,
    origin::Origin,
    provision::{self, Applied, SchemaState},
};
use std::{
    fs::DirBuilder,
    io::Write,
    os::unix::fs::DirBuilderExt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::TcpListener;
use tracing::{Instrument, info_span};

/// Runs a role until a signal arrives. Writes one line to `out` when everything is ready.
pub async fn run(role: Role, config: Config, out: &mut (dyn Write + Send)) -> Outcome {
    // Boxed: the span would otherwise copy a large future.
    Box::pin(run_in_span(role, config, out)).instrument(info_span!("process", %role)).await
}

async fn run_in_span(role: Role, config: Config, out: &mut (dyn Write + Send)) -> Outcome {
    role.check(&config)?;
    let started = Instant::now();
    let mut signals = Signals::take_over().map_err(Failure::failed)?;
    let files = config.schema_files().map_err(Failure::usage)?.to_vec();
    let compiled =
        tokio::task::spawn_blocking(move || Compiled::from_files(&files)).await.map_err(Failure::failed)??;
    let listener = TcpListener::bind(config.api.listen).await.map_err(|error| {
        Failure::failed(format!("cannot listen on {}: {error}; choose another --api-listen", config.api.listen))
    })?;
    create_data_dir(&config)?;
    let recorder = recorder::install()?;
    let state = ProcessState::default();
    let control = Control::open(&config.data_dir, handler(&state)).await?;
    let mut server = Server::start(&config).await?;
    let context = StartContext { role, config: &config, compiled, recorder, state, started };
    let outcome = serve(&context, &mut signals, listener, &mut server, out).await;
    let closed = server.close(config.shutdown_deadline).await;
    control.close().await;
    let exit = outcome?;
    closed.map(|()| exit)
}

/// Creates the data folder, private to the user of the process. A managed cluster of a process that is root runs under
/// another account, which has to pass through the folder. An existing folder keeps its mode: everything in it that holds data
/// is in a private folder of its own.
fn create_data_dir(config: &Config) -> Result<(), Failure> {
    let is_passed_through = config.database.url.is_none() && nix::unistd::geteuid().is_root();
    let mode = if is_passed_through { 0o711 } else { 0o700 };
    let created = DirBuilder::new().recursive(true).mode(mode).create(&config.data_dir);
    created.map_err(|error| Failure::failed(format!("cannot create the folder {}: {error}", config.data_dir.display())))
}

/// Starts the components, waits for the end and stops them. The caller stops the server.
async fn serve(
    context: &StartContext<'_>,
    signals: &mut Signals,
    listener: TcpListener,
    server: &mut Server,
    out: &mut (dyn Write + Send),
) -> Outcome {
    let server_ready = context.started.elapsed();
    // Without the limits of the pools: the tables of a large schema take a while.
    let database = server.connect(1).await?;
    provision(context.role, &database, &context.compiled).await?;
    database.close();
    let origin = Arc::new(Origin::default());
    let pools = Pools::new(&server.options, context.config, &origin)?;
    let running = Running::start(context, listener, server, pools, &origin).await?;
    report_ready(context, &running.address, server_ready, out)?;
    let reason = running.wait(signals, server).await;
    tracing::info!(%reason, "stopping");
    tokio::select! {
        stopped = running.stop(context.config.shutdown_deadline) => stopped?,
        signal = signals.next() => {
            return Err(Failure::failed(format!(
                "stopped at once by a second signal ({signal}): the next start resumes the work in flight"
            )));
        }
    }
    match reason {
        StopReason::Signal(_) => Ok(Exit::Done),
        StopReason::Broken(reason) => Err(Failure::failed(reason)),
    }
}

fn report_ready(
    context: &StartContext<'_>,
    url: &str,
    server_ready: Duration,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let compiled = &context.compiled;
    for warning in &compiled.schema.warnings {
        tracing::warn!(warning, "schema warning");
    }
    let ready_ms = context.started.elapsed().as_millis() as u64;
    tracing::info!(
        url,
        schema_load_ms = compiled.load.as_millis() as u64,
        schema_derive_ms = compiled.derive.as_millis() as u64,
        schema_compile_ms = compiled.compile.as_millis() as u64,
        server_ready_ms = server_ready.as_millis() as u64,
        ready_ms,
        resources = compiled.mapping.resources.len(),
        schema_hash = compiled.schema.hash,
        "ready"
    );
    writeln!(out, "Millstream is ready at {url} ({ready_ms} ms)").and_then(|()| out.flush()).map_err(Failure::failed)
}

/// Creates the tables of an empty database; refuses a database that was built for another schema.
async fn provision(role: Role, database: &Database, compiled: &Compiled) -> Result<(), Failure> {
    let facts = provision::server_facts(database).await.map_err(Failure::failed)?;
    facts.check_encoding(database.options()).map_err(Failure::usage)?;
    // Checked first: a role without the right to create tables can still serve from existing ones.
    match provision::check(database, &compiled.schema).await.map_err(Failure::failed)? {
        SchemaState::Current => Ok(()),
        // The relay creates the tables; the other roles wait for it.
        SchemaState::Empty if !role.maintains_database() => Err(Failure::failed(
            "the database has no tables yet: start `millstream relay` first, or run `millstream ddl apply`",
        )),
        SchemaState::Outdated { missing } if !role.maintains_database() => Err(Failure::failed(format!(
            "the database was built by an earlier version and lacks {}: start `millstream relay` of this version first, or \
             run `millstream ddl apply`",
            missing.join(", ")
        ))),
        _ => match provision::apply(database, &compiled.schema, &compiled.ddl()).await.map_err(Failure::failed)? {
            Applied::Created => {
                tracing::info!(resources = compiled.mapping.resources.len(), "created the tables of an empty database");
                Ok(())
            }
            Applied::Upgraded => {
                tracing::info!("added the columns of this version to a database of an earlier version");
                Ok(())
            }
            Applied::AlreadyCurrent => Ok(()),
        },
    }
}
