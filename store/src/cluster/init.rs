//! Creation of a new cluster with `initdb`.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    account::{self, Account},
    error::ClusterError,
    layout::Layout,
};

/// The superuser of a managed cluster.
pub const SUPERUSER: &str = "postgres";

/// One run of `initdb`.
pub(super) struct Init {
    pub(super) binaries: PathBuf,
    pub(super) layout: Layout,
    pub(super) account: Option<Account>,
    pub(super) durable: bool,
}

impl Init {
    /// Creates the cluster in a temporary directory and renames the directory when the cluster is complete. Removes the
    /// remains of a failed run.
    pub(super) fn run(&self, password: &str) -> Result<(), ClusterError> {
        let incomplete = self.layout.half_made_data();
        let password_file = self.layout.root().join("initdb.password");
        remove_directory(&incomplete)?;
        fs::create_dir(&incomplete).map_err(|source| ClusterError::io("create", &incomplete, source))?;
        fs::set_permissions(&incomplete, Permissions::from_mode(0o700))
            .and_then(|()| self.set_owner(&incomplete))
            .map_err(|source| ClusterError::io("protect", &incomplete, source))?;
        let created = self
            .write_password(&password_file, password)
            .map_err(|source| ClusterError::io("write", &password_file, source))
            .and_then(|()| self.initdb(&incomplete, &password_file));
        fs::remove_file(&password_file).map_err(|source| ClusterError::io("remove", &password_file, source))?;
        if let Err(error) = created {
            remove_directory(&incomplete)?;
            return Err(error);
        }
        let data = self.layout.data();
        fs::rename(&incomplete, &data).map_err(|source| ClusterError::io("rename the new cluster to", &data, source))
    }

    fn initdb(&self, directory: &Path, password_file: &Path) -> Result<(), ClusterError> {
        let program = self.binaries.join("initdb");
        let mut command = Command::new(&program);
        account::confine(&mut command, self.account.as_ref());
        command.arg("-D").arg(directory).arg("--pwfile").arg(password_file).args([
            "-U",
            SUPERUSER,
            "--auth=scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]);
        if !self.durable {
            command.arg("--no-sync");
        }
        let output = command.output().map_err(|source| ClusterError::io("run", &program, source))?;
        if output.status.success() {
            return Ok(());
        }
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Err(ClusterError::Init { status: output.status.to_string(), output: text.trim().to_owned() })
    }

    /// Writes the file from which `initdb` reads the password. The file belongs to the account that runs `initdb`, and
    /// exists only while `initdb` runs.
    fn write_password(&self, file: &Path, password: &str) -> io::Result<()> {
        let mut handle = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(file)?;
        handle.write_all(password.as_bytes())?;
        self.set_owner(file)
    }

    /// Makes the account that runs the cluster the owner of a path.
    fn set_owner(&self, path: &Path) -> io::Result<()> {
        match &self.account {
            Some(account) => chown(path, Some(account.uid), Some(account.gid)),
            None => Ok(()),
        }
    }
}

fn remove_directory(directory: &Path) -> Result<(), ClusterError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ClusterError::io("remove the incomplete cluster", directory, error))
        }
        _ => Ok(()),
    }
}
