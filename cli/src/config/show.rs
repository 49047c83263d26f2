//! The texts of `millstream config show` and of the reference in `docs/reference/configuration.md`.

use super::{
    key::{KEYS, Key, Kind},
    settings::Settings,
};
use millstream_store::connect::ConnectOptions;
use std::{fmt::Write, str::FromStr};

/// Returns every key with its value and its origin, secrets masked.
pub fn show(settings: &Settings) -> String {
    let rows: Vec<(&str, String, String)> = KEYS
        .iter()
        .map(|key| match settings.get(key) {
            Some(setting) => (key.name, shown(key, &setting.values), setting.origin.to_string()),
            None => (key.name, format!("({})", key.unset), "default".to_owned()),
        })
        .collect();
    let width = |column: fn(&(&str, String, String)) -> usize| rows.iter().map(column).max().unwrap_or(0);
    let (names, values) = (width(|row| row.0.len()), width(|row| row.1.chars().count()).min(60));
    rows.iter().fold(String::new(), |mut text, (name, value, origin)| {
        // Writing to a string cannot fail.
        _ = writeln!(text, "{name:names$}  {value:values$}  {origin}");
        text
    })
}

fn shown(key: &Key, values: &[String]) -> String {
    if !key.is_secret() {
        return values.join(", ");
    }
    if key.kind == Kind::Properties {
        let names = values
            .iter()
            .map(|value| value.split_once('=').map_or("***".to_owned(), |(name, _)| format!("{name}=***")));
        return names.collect::<Vec<_>>().join(", ");
    }
    // The options print everything but the password. A URL that cannot be parsed is masked as a whole.
    values.last().map(|url| ConnectOptions::from_str(url)).and_then(Result::ok).map_or_else(
        || "***".to_owned(),
        |options| match options.password() {
            Some(_) => format!("{}:***@{}:{}/{}", options.user(), options.host(), options.port(), options.dbname()),
            None => options.to_string(),
        },
    )
}

/// Returns the table of keys in Markdown, as in `docs/reference/configuration.md`.
pub fn reference() -> String {
    let mut text = String::from("| key | flag | environment | default | what it does |\n|---|---|---|---|---|\n");
    for key in KEYS {
        let default = key.default.map_or_else(|| key.unset.to_owned(), |default| format!("`{default}`"));
        let range = match key.kind {
            Kind::Number { min, max } => format!(" ({min} to {max})"),
            Kind::Choice(words) => format!(" (`{}`)", words.join("`, `")),
            Kind::Words(words) => format!(" (any of `{}`, separated by `,`, or empty for none)", words.join("`, `")),
            Kind::Properties => " Separated by `,`, or a list in the file, whose texts may contain commas.".to_owned(),
            Kind::Paths => " Repeat the flag, or separate by `:` in the environment.".to_owned(),
            _ => String::new(),
        };
        // Writing to a string cannot fail.
        _ = writeln!(
            text,
            "| `{}` | `--{}` | `{}` | {default} | {}{range} |",
            key.name,
            key.flag(),
            key.env(),
            key.help
        );
    }
    text
}
