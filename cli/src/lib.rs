//! The binary `millstream`: configuration, wiring, commands, exit codes.
//!
//! This crate resolves the configuration once ([`config`]), starts and stops the components in order ([`up`]), and talks
//! to people (progress bars, tables, exit codes). It makes no decision about documents: behaviour that needs a test of
//! its own is in the other crates.

pub mod args;
pub mod command;
pub mod compiled;
pub mod config;
pub mod control;
pub mod database;
pub mod demo;
pub mod exit;
pub mod failure;
pub mod load;
mod process;
mod rebuild_entries;
pub mod signal;
mod sink_kind;
mod sink_proof;
pub mod sinks;
pub mod telemetry;
mod text;
pub mod up;

use args::{Action, Arguments, ConfigAction, DdlAction, RebuildAction, SchemaAction, SinkAction};
use clap::Parser;
use command::verify::VerifyOptions;
use compiled::Compiled;
use config::{Config, ConfigErrors, Environment, Settings};
use exit::Exit;
use failure::{Failure, Outcome};
pub use process::role::Role;
use sink_kind::SinkKind;
use std::{ffi::OsString, io::Write, time::Duration};

/// Runs one command line and returns its exit code. Errors have been printed to stderr by then.
pub fn run(line: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match Arguments::try_parse_from(line) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version arrive here as well. An error about printing them could not be printed either.
            _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    match execute(arguments) {
        Ok(exit) => exit,
        Err(failure) => {
            _ = writeln!(std::io::stderr(), "millstream: {failure}");
            failure.exit()
        }
    }
}

fn execute(arguments: Arguments) -> Outcome {
    let environment = environment(std::env::vars_os()).map_err(Failure::usage)?;
    let settings = Settings::gather(arguments.config.as_deref(), &environment, arguments.settings.0);
    let settings = settings.map_err(Failure::usage)?;
    let mut out = std::io::stdout();
    // The reference can be printed even if the configuration cannot be used.
    if let Action::Config(action @ ConfigAction::Reference) = &arguments.command {
        return command::config::run(action, &settings, &mut out);
    }
    let config = Config::resolve(&settings).map_err(Failure::usage)?;
    if let Action::Config(action) = &arguments.command {
        return command::config::run(action, &settings, &mut out);
    }
    // HTTP clients use the TLS crypto provider of the process and panic without one.
    let provider_installed = rustls::crypto::ring::default_provider().install_default().is_ok();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::failed)?;
    let export = {
        let _entered = runtime.enter();
        telemetry::log::install(&config.log, &config.telemetry)?
    };
    if !provider_installed {
        tracing::debug!("the TLS crypto provider was installed before");
    }
    let outcome = runtime.block_on(perform(arguments.command, config, &mut out));
    export.shutdown();
    // Threads that still block, such as a read from a terminal, do not delay the end.
    runtime.shutdown_background();
    outcome
}

/// Decodes the environment. A `MILLSTREAM_*` variable that is not UTF-8 is an error: ignoring it could silently select a
/// different database.
fn environment(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Environment, ConfigErrors> {
    let mut environment = Environment::new();
    for (name, value) in variables {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => environment.push((name, value)),
            (Ok(name), Err(_)) if name.starts_with("MILLSTREAM_") => {
                return Err(ConfigErrors::one(format!("the environment variable {name} is not UTF-8")));
            }
            // A variable of another program.
            _ => {}
        }
    }
    Ok(environment)
}

async fn perform(action: Action, config: Config, out: &mut (dyn Write + Send)) -> Outcome {
    match action {
        Action::Up => Box::pin(up::run(Role::All, config, out)).await,
        Action::Api => Box::pin(up::run(Role::Api, config, out)).await,
        Action::Relay => Box::pin(up::run(Role::Relay, config, out)).await,
        Action::Publish => Box::pin(up::publish(config, out)).await,
        Action::Project => Box::pin(up::run(Role::Project, config, out)).await,
        Action::Sink(SinkAction::Run(words)) => Box::pin(up::run(sink_role(&words)?, config, out)).await,
        Action::Load(load) => Box::pin(command::load::run(load, &config, out)).await,
        Action::Status { json } => command::status::run(json, &config, out).await,
        Action::Verify(arguments) => {
            let options = VerifyOptions::from(arguments);
            Box::pin(command::verify::run(compile(&config)?, &config, &options, out)).await
        }
        Action::Sink(action) => command::sink::run(action, &config, out).await,
        Action::Index(command) => command::index::run(command, &config, out).await,
        Action::Incidents(action) => command::incidents::run(&action, &config, out),
        Action::Quarantine(action) => command::quarantine::run(action, &config, out).await,
        Action::Replay(arguments) => Box::pin(command::replay::run(arguments, &config, out)).await,
        Action::Rebuild(RebuildAction::Cache { per_s, detach, progress }) => {
            Box::pin(command::replay::rebuild_cache(per_s, detach, progress, &config, out)).await
        }
        Action::Wait { version, sink, timeout_s } => {
            command::wait::run(version, sink, Duration::from_secs(timeout_s), &config, out).await
        }
        Action::Ddl(DdlAction::Emit) => command::ddl::emit(&compile(&config)?, out),
        Action::Ddl(DdlAction::Apply) => Box::pin(command::ddl::apply(&compile(&config)?, &config, out)).await,
        Action::Schema(SchemaAction::Check) => command::schema::check(&compile(&config)?, out),
        Action::Config(_) => Ok(Exit::Done),
        Action::Demo(demo) => Box::pin(demo::run(demo, out)).await,
    }
}

/// Parses `millstream sink NAME`. Nothing may follow the name: configuration flags precede it.
fn sink_role(words: &[String]) -> Result<Role, Failure> {
    let name = words.first().map_or("", String::as_str);
    match (name.parse::<SinkKind>(), words.len()) {
        (Ok(sink), 1) => Ok(Role::Sink(sink)),
        (Ok(_), _) => {
            Err(Failure::usage(format!("`millstream sink {name}` takes no more words: put flags before `sink`")))
        }
        (Err(unknown), _) => {
            Err(Failure::usage(format!("{name:?} is neither an action of `millstream sink` nor a sink: {unknown}")))
        }
    }
}

fn compile(config: &Config) -> Result<Compiled, Failure> {
    Compiled::from_files(config.schema_files().map_err(Failure::usage)?)
}
