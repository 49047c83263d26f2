//! The text in force of every key: flags over environment over file over default.

use super::{
    error::ConfigErrors,
    file,
    key::{KEYS, Key, Kind},
    setting::{Environment, FILE_VARIABLE, Flags, Origin, Setting, parts},
};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// Variables with the prefix of Millstream that are not configuration keys: those of tests, scripts and the demo, and
/// those that Kubernetes sets for a service called `millstream`.
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

/// The values in force.
#[derive(Clone, Default)]
pub struct Settings {
    by_name: BTreeMap<&'static str, Setting>,
}

impl Settings {
    /// Reads all layers. `named` is the file of the `--config` flag; a named file has to exist.
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

    /// Returns flags over defaults, without the environment and without a file.
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
                // Many launchers pass an empty variable for "not set".
                Some(_) if value.is_empty() => {}
                Some(key) => self.set(key, parts(key.kind, value), Origin::Environment),
                None => errors.push(format!("the environment variable {name} is not a configuration key: remove it, or see docs/reference/configuration.md")),
            }
        }
    }

    /// A flag may be repeated, and a path on the command line may contain a colon.
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

    /// Returns the value in force for a key.
    pub fn get(&self, key: &Key) -> Option<&Setting> {
        self.by_name.get(key.name)
    }

    /// Returns the name of a key in messages, as it is written at the origin of its value.
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
