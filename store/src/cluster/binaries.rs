//! Finding the server's programs.

use std::{
    cmp::Reverse,
    env,
    path::{Path, PathBuf},
    process::Command,
};

use super::error::ClusterError;

/// The directory in which Debian and Ubuntu keep one directory per major version.
const PACKAGED: &str = "/usr/lib/postgresql";
/// The oldest server that has all features in use.
const OLDEST_MAJOR: u32 = 14;

/// The directory that holds `initdb` and `postgres`: the one given, else the newest installed, else from `PATH`. An
/// existing data directory needs exactly the major version that created it.
pub(super) fn find(given: Option<&Path>, made_by: Option<(PathBuf, u32)>) -> Result<PathBuf, ClusterError> {
    let needed = made_by.as_ref().map(|(_, major)| *major);
    let fits = |major: u32| needed.map_or(major >= OLDEST_MAJOR, |needed| major == needed);
    let candidates = given.map_or_else(installed, |directory| vec![directory.to_owned()]);
    let found = candidates.into_iter().find(|directory| major_of(directory).is_some_and(fits));
    found.ok_or_else(|| match made_by {
        Some((directory, major)) => ClusterError::OtherMajor { directory, major },
        None => ClusterError::NotInstalled {
            searched: given
                .map_or_else(|| format!("{PACKAGED}/*/bin and PATH"), |directory| directory.display().to_string()),
            package: format!("PostgreSQL {OLDEST_MAJOR} or later (on Debian 12: postgresql-15)"),
        },
    })
}

fn installed() -> Vec<PathBuf> {
    let mut packaged: Vec<(u32, PathBuf)> = Path::new(PACKAGED)
        .read_dir()
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    packaged.sort_by_key(|(major, _)| Reverse(*major));
    let from_path = env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    packaged.into_iter().map(|(_, directory)| directory).chain(from_path).collect()
}

/// The major version of the server in `directory`, if both programs exist and report it.
fn major_of(directory: &Path) -> Option<u32> {
    let postgres = directory.join("postgres");
    if !postgres.is_file() || !directory.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(postgres).arg("--version").output().ok()?;
    // "postgres (PostgreSQL) 15.18 (Debian …)"
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().nth(2)?;
    version.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}
