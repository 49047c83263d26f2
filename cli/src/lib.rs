//! The one binary, `millstream`: configuration, wiring, commands, exit codes.
//!
//! What it is: the place where the other crates meet. It resolves the configuration once ([`config`]), starts and stops
//! the parts in order ([`up`]), talks to people (progress bars, tables, exit codes), and nothing else.
//!
//! What it is not: it decides nothing about documents. Whatever a test of behaviour would want to call lives in one of
//! the crates below.

pub mod args;
pub mod catch_up;
pub mod command;
pub mod compiled;
pub mod config;
pub mod control;
pub mod database;
pub mod demo;
pub mod exit;
pub mod failure;
pub mod load;
pub mod log_lines;
pub mod signal;
pub mod sinks;
pub mod up;

use args::{Action, Arguments, ConfigAction, DdlAction, RebuildAction, SchemaAction, SinkAction};
use clap::Parser;
use command::Outcome;
use compiled::Compiled;
use config::{Config, ConfigErrors, Environment, Settings};
use exit::Exit;
use failure::Failure;
use std::{ffi::OsString, io::Write, time::Duration};
use up::Role;

/// Runs one command line and says how it ended. Everything that went wrong has been printed to stderr by then.
pub fn run(line: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match Arguments::try_parse_from(line) {
        Ok(arguments) => arguments,
        Err(answer) => {
            // Help and version come this way too; where they cannot be printed there is nobody to tell.
            _ = answer.print();
            return if answer.use_stderr() { Exit::Usage } else { Exit::Done };
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
    // What is in force can be shown even if it cannot be used.
    if let Action::Config(action @ ConfigAction::Reference) = &arguments.command {
        return command::config::run(action, &settings, &mut out);
    }
    let config = Config::resolve(&settings).map_err(Failure::usage)?;
    if let Action::Config(action) = &arguments.command {
        return command::config::run(action, &settings, &mut out);
    }
    log_lines::begin(&config.log);
    // HTTP clients take the provider of the process and panic without one.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("the provider of cryptography was chosen before");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::failed)?;
    let outcome = runtime.block_on(perform(arguments.command, config, &mut out));
    // What still blocks a thread, such as a read from a terminal, holds nothing up.
    runtime.shutdown_background();
    outcome
}

/// The variables as text. One of ours that is none is refused: without it another database might be worked on.
fn environment(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Environment, ConfigErrors> {
    let mut environment = Environment::new();
    for (name, value) in variables {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => environment.push((name, value)),
            (Ok(name), Err(_)) if name.starts_with("MILLSTREAM_") => {
                return Err(ConfigErrors::one(format!("the environment variable {name} is not UTF-8")));
            }
            // Not ours.
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
        Action::Verify { json, wait_s, sink, repair } => {
            let ask = command::verify::Ask { wait: Duration::from_secs(wait_s), json, sink, repair };
            Box::pin(command::verify::run(compile(&config)?, &config, &ask, out)).await
        }
        Action::Sink(action) => command::sink::run(action, &config, out).await,
        Action::Index(command) => command::index::run(command, &config, out).await,
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

/// `millstream sink NAME`, and nothing behind it: flags of the configuration stand before the name.
fn sink_role(words: &[String]) -> Result<Role, Failure> {
    match words {
        [name] if sinks::NAMES.contains(&name.as_str()) => Ok(Role::Sink(name.clone())),
        [name, ..] if sinks::NAMES.contains(&name.as_str()) => {
            Err(Failure::usage(format!("`millstream sink {name}` takes no more words: put flags before `sink`")))
        }
        _ => Err(Failure::usage(format!(
            "{:?} is neither something that `millstream sink` does nor a sink; there can be {}",
            words.first().map_or("", String::as_str),
            sinks::NAMES.join(", ")
        ))),
    }
}

fn compile(config: &Config) -> Result<Compiled, Failure> {
    Compiled::from_files(config.schema_files().map_err(Failure::usage)?)
}
