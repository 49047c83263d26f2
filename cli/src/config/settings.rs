//! Which value of each key is in force, and where it came from: flags over environment over file over default.

use super::{
    error::ConfigErrors,
    file,
    key::{KEYS, Key, Kind},
};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// The file that is read from the working directory when none is named.
pub const DEFAULT_FILE: &str = "millstream.toml";
/// Names the configuration file.
pub const FILE_VARIABLE: &str = "MILLSTREAM_CONFIG";

/// Variables with our prefix that configure nothing: those of tests, scripts and demo, and what Kubernetes sets by itself
/// for a service called `millstream`.
const OTHER_VARIABLES: [&str; 10] = [
    "MILLSTREAM_CORPUS",
    "MILLSTREAM_SEED",
    "MILLSTREAM_SCHEDULES",
    "MILLSTREAM_RECORD_DIR",
    "MILLSTREAM_SERVICES_DIR",
    "MILLSTREAM_TORTURE_",
    "MILLSTREAM_TEST_",
    "MILLSTREAM_SERVICE_",
    "MILLSTREAM_PORT",
    FILE_VARIABLE,
];

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
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

/// One value as it was written, a list for keys that take several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The text of each value.
    pub values: Vec<String>,
    /// Where it came from.
    pub origin: Origin,
}

/// The value in force of every key that has one.
#[derive(Clone, Default)]
pub struct Settings {
    by_name: BTreeMap<&'static str, Setting>,
}

/// What was given on the command line.
pub type Flags = Vec<(&'static Key, Vec<String>)>;

/// The environment, as pairs: a parameter, so that tests need not change that of the process.
pub type Environment = Vec<(String, String)>;

/// The values in a text: parts of kinds that take several, a single one of others.
pub(super) fn parts(kind: Kind, text: &str) -> Vec<String> {
    match kind.separator() {
        Some(separator) => text.split(separator).map(|part| part.trim().to_owned()).collect(),
        None => vec![text.to_owned()],
    }
}

impl Settings {
    /// Reads all layers. `named` is the file of the `--config` flag; a file that was named has to exist.
    pub fn gather(named: Option<&Path>, environment: &Environment, flags: Flags) -> Result<Self, ConfigErrors> {
        let mut settings = Self::defaults();
        let mut errors = Vec::new();
        let variable =
            environment.iter().find(|(name, _)| name == FILE_VARIABLE).map(|(_, value)| PathBuf::from(value));
        match file::read(named.map(Path::to_owned).or(variable)) {
            Ok(found) => found.into_iter().for_each(|(key, setting)| settings.set(key, setting.values, setting.origin)),
            Err(problems) => errors.extend(problems.0),
        }
        settings.read_environment(environment, &mut errors);
        for (key, values) in flags {
            settings.set_flag(key, &values);
        }
        if errors.is_empty() { Ok(settings) } else { Err(ConfigErrors(errors)) }
    }

    /// Flags over defaults, whatever the environment and any file say.
    pub fn of_flags(flags: Flags) -> Self {
        let mut settings = Self::defaults();
        flags.into_iter().for_each(|(key, values)| settings.set_flag(key, &values));
        settings
    }

    fn defaults() -> Self {
        let mut settings = Self::default();
        for key in KEYS {
            if let Some(default) = key.default {
                settings.set(key, parts(key.kind, default), Origin::Default);
            }
        }
        settings
    }

    fn read_environment(&mut self, environment: &Environment, errors: &mut Vec<String>) {
        let ours = environment.iter().filter(|(name, _)| {
            name.starts_with("MILLSTREAM_") && !OTHER_VARIABLES.iter().any(|other| name.starts_with(other))
        });
        for (name, value) in ours {
            match KEYS.iter().find(|key| key.env() == *name) {
                // An empty variable is how many launchers say "not set".
                Some(_) if value.is_empty() => {}
                Some(key) => self.set(key, parts(key.kind, value), Origin::Environment),
                None => errors.push(format!("the environment variable {name} names no configuration key: remove it, or see docs/reference/configuration.md")),
            }
        }
    }

    /// A flag may be repeated, and a path on the command line may hold a colon.
    fn set_flag(&mut self, key: &'static Key, values: &[String]) {
        let values = match key.kind {
            Kind::Paths => values.to_vec(),
            kind => values.iter().flat_map(|value| parts(kind, value)).collect(),
        };
        self.set(key, values, Origin::Flag);
    }

    fn set(&mut self, key: &'static Key, values: Vec<String>, origin: Origin) {
        self.by_name.insert(key.name, Setting { values, origin });
    }

    /// What is in force for a key.
    pub fn get(&self, key: &Key) -> Option<&Setting> {
        self.by_name.get(key.name)
    }

    /// The key as the user knows it from where its value came from, for messages.
    pub(super) fn called(key: &Key, origin: &Origin) -> String {
        match origin {
            Origin::Default => key.name.to_owned(),
            Origin::File { file, line } => format!("{}:{line}: {}", file.display(), key.name),
            Origin::Environment => key.env(),
            Origin::Flag => format!("--{}", key.flag()),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.by_name.keys().map(|name| (name, "…"))).finish()
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
