//! The command line as it was written, before anything is resolved.

mod copies;

pub use copies::{IndexCommand, QuarantineAction, Quarantined, RebuildAction, ReplayArguments, SinkAction};

use crate::config::{
    Flags,
    key::{KEYS, Kind},
};
use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand, ValueEnum,
    builder::{NonEmptyStringValueParser, PossibleValuesParser, ValueParser},
};
use std::path::PathBuf;

/// Ed-Fi documents over HTTP into relational tables, and everything derived from them kept right.
#[derive(Debug, Parser)]
#[command(
    name = "millstream",
    version,
    max_term_width = 120,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Arguments {
    /// Configuration file; without it millstream.toml in the working directory, if there is one.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Configuration")]
    pub config: Option<PathBuf>,
    /// Values of configuration keys.
    #[command(flatten)]
    pub settings: SettingFlags,
    /// What to do.
    #[command(subcommand)]
    pub command: Action,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Start everything in one process: database, API, projector. Ends on SIGTERM or Ctrl-C.
    Up,
    /// Answer reads, writes and searches; the rest runs in other processes.
    Api,
    /// Follow the outbox and fill the queue that other processes share. A second one stands by and takes over.
    Relay,
    /// Follow the replication slot and write our own change topic, for processes whose source.kind is topic.
    Publish,
    /// Work the shared queue off: cascades and rebuilds. Any number of them share the work.
    Project,
    /// Post JSON Lines files through the API of a running Millstream, with an account of every refusal.
    Load(LoadArguments),
    /// Say how far each stage of a running Millstream is.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Recompute identities, edges and bodies of every document from its rows and compare them with what is stored.
    Verify {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// How long to wait until a running Millstream has worked off its queue and cascades.
        #[arg(long, value_name = "SECONDS", default_value_t = 120)]
        wait_s: u64,
        /// Compare only this sink with the cache; `none` for no sink. Without it all that are delivered to.
        #[arg(long, value_name = "NAME")]
        sink: Option<String>,
        /// Have what was found wrong in the cache and in the sinks made and delivered again.
        #[arg(long)]
        repair: bool,
    },
    /// Copies of all documents: join, part, pause and fill them while everything runs; or, with only a name, deliver
    /// to that sink in a process of its own.
    #[command(subcommand)]
    Sink(SinkAction),
    /// Search indexes: built anew beside what is live, compared, swapped in and back.
    #[command(subcommand)]
    Index(IndexCommand),
    /// Documents that could not be rebuilt or delivered.
    #[command(subcommand)]
    Quarantine(QuarantineAction),
    /// Owe documents again: to the cache and all sinks, or to one sink. Safe while everything runs.
    Replay(ReplayArguments),
    /// Make something anew from what it was made of.
    #[command(subcommand)]
    Rebuild(RebuildAction),
    /// Return when a copy shows a version, and everything that was committed before this command began.
    Wait {
        /// A version that a write was answered with (its ETag).
        #[arg(long, value_name = "N")]
        version: i64,
        /// Which sink; the cache without.
        #[arg(long, value_name = "NAME")]
        sink: Option<String>,
        /// How long to wait at most; exit code 3 when it is over.
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        timeout_s: u64,
    },
    /// The tables that follow from the schema.
    #[command(subcommand)]
    Ddl(DdlAction),
    /// The ApiSchema files.
    #[command(subcommand)]
    Schema(SchemaAction),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigAction),
    /// Show the whole product: load, rename, kill, restart, verify. Keeps nothing.
    Demo(DemoArguments),
}

/// What `ddl` does.
#[derive(Debug, Subcommand)]
pub enum DdlAction {
    /// Print the DDL of every table, shared ones included.
    Emit,
    /// Make the tables in the database, in one transaction. Done before for the same schema: nothing happens.
    Apply,
}

/// What `schema` does.
#[derive(Debug, Subcommand)]
pub enum SchemaAction {
    /// Load and check the files; print their hash, counts and warnings.
    Check,
}

/// What `config` does.
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Print every key with the value in force and where it came from, secrets masked.
    Show,
    /// Print the reference of all keys, in Markdown.
    Reference,
}

/// How `load` works.
#[derive(Debug, Clone, Args)]
pub struct LoadArguments {
    /// JSON Lines files, plain or gzip, `-` for standard input: a line is {"resource", "project", "body"}.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Address of the API, such as http://127.0.0.1:8080; without it that of the Millstream of this data folder.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Requests in flight.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub connections: u16,
    /// Seconds to wait for a server that does not answer, or answers that it is busy, before giving up.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub patience_s: u64,
    /// Write every refused line with its answer to this file, as JSON Lines.
    #[arg(long, value_name = "FILE")]
    pub refused: Option<PathBuf>,
    /// How to show progress.
    #[arg(long, value_enum, default_value_t = ProgressStyle::Auto)]
    pub progress: ProgressStyle,
}

/// How to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressStyle {
    /// A bar on a terminal, lines elsewhere.
    Auto,
    /// A line now and then.
    Lines,
    /// None.
    None,
}

/// How the demo runs.
#[derive(Debug, Clone, Args)]
pub struct DemoArguments {
    /// Folder with apischema/ and ds-5.2/; without it MILLSTREAM_CORPUS, ../shared/corpus, or the built-in small schema.
    #[arg(long, value_name = "DIR")]
    pub corpus: Option<PathBuf>,
    /// Load only so many documents of each file.
    #[arg(long, value_name = "N")]
    pub documents_max: Option<usize>,
}

/// The flag of every configuration key, made from the table of keys.
#[derive(Debug, Default)]
pub struct SettingFlags(pub Flags);

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        command.args(KEYS.iter().map(|key| {
            let default = key.default.map_or_else(|| key.unset.to_owned(), |default| format!("default {default}"));
            Arg::new(key.name)
                .long(key.flag())
                .value_name(value_name(key.kind))
                .help(format!("{} [{default}] [{}]", key.help, key.env()))
                .help_heading("Configuration")
                .hide_short_help(true)
                .hide_possible_values(true)
                .global(true)
                .value_parser(value_parser(key.kind))
                .action(if key.kind.separator().is_some() { ArgAction::Append } else { ArgAction::Set })
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for key in KEYS {
            if let Some(values) = matches.get_many::<String>(key.name) {
                self.0.push((key, values.cloned().collect()));
            }
        }
        Ok(())
    }
}

fn value_parser(kind: Kind) -> ValueParser {
    match kind {
        Kind::Choice(words) => PossibleValuesParser::new(words).into(),
        Kind::Words(_) => ValueParser::string(),
        _ => NonEmptyStringValueParser::new().into(),
    }
}

fn value_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Path | Kind::Paths => "PATH",
        Kind::Address => "ADDRESS",
        Kind::DatabaseUrl | Kind::Url => "URL",
        Kind::Identifier => "NAME",
        Kind::Number { .. } => "N",
        Kind::Choice(_) | Kind::Words(_) => "WORD",
        Kind::Text | Kind::Secret => "TEXT",
        Kind::Properties => "NAME=VALUE",
        Kind::LogFilter => "FILTER",
    }
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
