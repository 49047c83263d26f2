//! Folders that only the user of the process may enter: they hold documents, or keys to them.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Mode of a private folder.
const PRIVATE: u32 = 0o700;
/// Permissions of other users.
const OTHERS: u32 = 0o077;

/// Creates a folder with mode 0700, and missing folders above it with the same mode. An existing folder gets that mode; if it
/// belongs to another user, as the root of a mounted volume may, it keeps its mode, with a warning in the log.
///
/// # Errors
/// The folder cannot be created or protected.
pub fn create_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(PRIVATE).create(folder)?;
    let mode = fs::metadata(folder)?.permissions().mode();
    if mode & OTHERS == 0 {
        return Ok(());
    }
    match fs::set_permissions(folder, Permissions::from_mode(PRIVATE)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let (path, mode) = (folder.display(), format!("{:o}", mode & 0o7777));
            tracing::warn!(%path, mode, "the folder belongs to another user, and other users may enter it");
            Ok(())
        }
        protected => protected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(folder: &Path) -> u32 {
        fs::metadata(folder).expect("it exists").permissions().mode() & 0o777
    }

    #[test]
    fn a_folder_is_private_whether_it_is_new_or_not() {
        let parent = tempfile::tempdir().expect("a folder can be made");
        let new = parent.path().join("a/b");
        create_private(&new).expect("it can be made");
        assert_eq!((mode(&new), mode(new.parent().expect("a parent"))), (0o700, 0o700));
        let open = parent.path().join("open");
        fs::create_dir(&open).expect("it can be made");
        fs::set_permissions(&open, Permissions::from_mode(0o755)).expect("it is ours");
        create_private(&open).expect("it can be protected");
        assert_eq!(mode(&open), 0o700);
    }
}
