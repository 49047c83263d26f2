//! The operating-system account that the server runs under.

use std::{
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::Command,
};

use nix::unistd::{User, geteuid};

use super::error::ClusterError;

/// Accounts to run the server under if this process is root, in order of preference.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// An account other than this process's.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The account to switch to, or `None` if this process is not root and the server may run under its account.
pub(super) fn for_server() -> Result<Option<Account>, ClusterError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    for name in CANDIDATES {
        // An unreadable account database is treated like one without that account.
        if let Ok(Some(user)) = User::from_name(name) {
            return Ok(Some(Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() }));
        }
    }
    Err(ClusterError::NoAccount)
}

impl Account {
    /// Checks that this account may traverse every directory down to `path`.
    pub(super) fn check_enterable(&self, path: &Path) -> Result<(), ClusterError> {
        for directory in path.ancestors() {
            let metadata = directory.metadata().map_err(|source| ClusterError::io("look at", directory, source))?;
            let execute = if metadata.uid() == self.uid {
                0o100
            } else if metadata.gid() == self.gid {
                0o010
            } else {
                0o001
            };
            if metadata.mode() & execute == 0 {
                return Err(ClusterError::NotEnterable { account: self.name.clone(), blocked: directory.to_owned() });
            }
        }
        Ok(())
    }
}

/// Prepares `command` to run under `account`, without this process's environment, and in a separate process group: a
/// Ctrl-C at the terminal must reach this process, not the server.
pub(super) fn confine(command: &mut Command, account: Option<&Account>) {
    command
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir("/")
        .process_group(0);
    if let Some(account) = account {
        command.gid(account.gid).uid(account.uid);
    }
}
