//! The parsed command line, before the configuration is resolved.

mod copies;
mod load;
mod settings;
mod verify;

pub use copies::{IndexCommand, QuarantineAction, QuarantinedId, RebuildAction, ReplayArguments, SinkAction};
pub use load::{DemoArguments, LoadArguments, ProgressStyle};
pub use settings::SettingFlags;
pub use verify::{IncidentsAction, VerifyArguments};

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Stores Ed-Fi documents in relational tables and keeps every derived copy current.
#[derive(Debug, Parser)]
#[command(
    name = "millstream",
    version,
    max_term_width = 120,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Arguments {
    /// Configuration file; by default millstream.toml in the working directory, if it exists.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Configuration")]
    pub config: Option<PathBuf>,
    /// Flags of configuration keys.
    #[command(flatten)]
    pub settings: SettingFlags,
    /// The command.
    #[command(subcommand)]
    pub command: Action,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Start everything in one process: database, API, projector. Ends on SIGTERM or Ctrl-C.
    Up,
    /// Serve reads, writes and searches; the other components run in processes of their own.
    Api,
    /// Follow the outbox and fill the queue that other processes share. Runs as standby when another relay holds the lease.
    Relay,
    /// Copy the replication slot into a change topic, for processes whose source.kind is topic.
    Publish,
    /// Consume the shared queue: cascades and rebuilds. Any number of processes share the work.
    Project,
    /// Post JSON Lines files through the API of a running Millstream, and report every refused line.
    Load(LoadArguments),
    /// Show the progress of every stage and lane of a running Millstream.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Recompute identities, edges and bodies of every document from its rows and compare them with what is stored.
    Verify(VerifyArguments),
    /// Add, remove, pause and fill copies of all documents while everything runs; or, with only a name, deliver to that
    /// sink in a process of its own.
    #[command(subcommand)]
    Sink(SinkAction),
    /// Build a search index beside the live one, compare it, swap it in and back.
    #[command(subcommand)]
    Index(IndexCommand),
    /// Show the mismatches that the consistency watchdog has confirmed.
    #[command(subcommand)]
    Incidents(IncidentsAction),
    /// Inspect, retry and discard documents that could not be rebuilt or delivered.
    #[command(subcommand)]
    Quarantine(QuarantineAction),
    /// Enqueue documents again: for the cache and all sinks, or for one sink. Safe while everything runs.
    Replay(ReplayArguments),
    /// Rebuild derived data from its source.
    #[command(subcommand)]
    Rebuild(RebuildAction),
    /// Return when a copy shows a version, and everything that was committed before this command began.
    Wait {
        /// A version that a write returned (its ETag).
        #[arg(long, value_name = "N")]
        version: i64,
        /// Name of a sink; by default the cache.
        #[arg(long, value_name = "NAME")]
        sink: Option<String>,
        /// Longest wait; exit code 3 on timeout.
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        timeout_s: u64,
    },
    /// Print or create the tables of a schema.
    #[command(subcommand)]
    Ddl(DdlAction),
    /// Check ApiSchema files.
    #[command(subcommand)]
    Schema(SchemaAction),
    /// Show the configuration.
    #[command(subcommand)]
    Config(ConfigAction),
    /// Demonstrate Millstream: load, rename, kill, restart, verify. Keeps nothing.
    Demo(DemoArguments),
}

/// Actions of `ddl`.
#[derive(Debug, Subcommand)]
pub enum DdlAction {
    /// Print the DDL of every table, shared ones included.
    Emit,
    /// Create the tables in one transaction. Changes nothing if the tables of this schema exist.
    Apply,
}

/// Actions of `schema`.
#[derive(Debug, Subcommand)]
pub enum SchemaAction {
    /// Load and check the files; print their hash, counts and warnings.
    Check,
}

/// Actions of `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Print every key with its value in force and the origin of the value, secrets masked.
    Show,
    /// Print the reference of all keys, in Markdown.
    Reference,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_of_keys_work_before_and_after_the_command() {
        for line in
            [["millstream", "--api-listen", "127.0.0.1:1", "up"], ["millstream", "up", "--api-listen", "127.0.0.1:1"]]
        {
            let arguments = Arguments::try_parse_from(line).expect("it is valid");
            let flags: Vec<_> = arguments.settings.0.iter().map(|(key, values)| (key.name, values.clone())).collect();
            assert_eq!(flags, [("api.listen", vec!["127.0.0.1:1".to_owned()])]);
        }
    }

    #[test]
    fn schema_files_may_be_repeated() {
        let line = ["millstream", "--schema", "a.json", "schema", "check", "--schema", "b.json"];
        let arguments = Arguments::try_parse_from(line).expect("it is valid");
        let flags = arguments.settings.0.first().expect("one key is set");
        assert!(flags.1.contains(&"b.json".to_owned()), "{flags:?}");
    }

    #[test]
    fn an_unknown_flag_is_refused() {
        let error = Arguments::try_parse_from(["millstream", "up", "--api-lisen", "x"]).expect_err("no such flag");
        assert!(error.to_string().contains("--api-listen"), "{error}");
    }
}
