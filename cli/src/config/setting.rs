//! A value with its origin.

use super::key::{Key, Kind};
use std::{fmt, path::PathBuf};

/// The file in the working directory that is read if none is named.
pub const DEFAULT_FILE: &str = "millstream.toml";
/// The environment variable that names the configuration file.
pub const FILE_VARIABLE: &str = "MILLSTREAM_CONFIG";

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The default of the key.
    Default,
    /// The configuration file, at this line.
    File {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// The environment variable of the key.
    Environment,
    /// The flag of the key.
    Flag,
}

/// The text of a value; a list for keys that take several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The text of each value.
    pub values: Vec<String>,
    /// The origin of the value.
    pub origin: Origin,
}

/// The flags on the command line.
pub type Flags = Vec<(&'static Key, Vec<String>)>;

/// The environment as pairs. It is a parameter so that tests do not have to change that of the process.
pub type Environment = Vec<(String, String)>;

/// Splits a text into the values of its kind: several for a list, otherwise one.
pub(super) fn parts(kind: Kind, text: &str) -> Vec<String> {
    match kind.separator() {
        Some(separator) => text.split(separator).map(|part| part.trim().to_owned()).collect(),
        None => vec![text.to_owned()],
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Environment => f.write_str("environment"),
            Self::Flag => f.write_str("flag"),
        }
    }
}
