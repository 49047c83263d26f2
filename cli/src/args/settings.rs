//! The flags of configuration keys.

use crate::config::{
    Flags,
    key::{KEYS, Kind},
};
use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches,
    builder::{NonEmptyStringValueParser, PossibleValuesParser, ValueParser},
};

/// One flag per configuration key, generated from the table of keys.
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
