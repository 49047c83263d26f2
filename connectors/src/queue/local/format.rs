//! The format check: the queue opens directories whose file `FORMAT` names a format that it knows, and empty ones.
//!
//! Format 1 had the cache queue only. Format 2 adds lanes and is the same otherwise, so a directory of format 1 becomes
//! one of format 2 by rewriting the file. A version without lanes then refuses the directory, instead of losing the work
//! that is pending for the sinks.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::private_folder::create_private;
use millstream_pipeline::queue::QueueError;

/// Content of the file `FORMAT`.
const FORMAT: &str = "millstream work queue, format 2\n";

/// Its content before there were lanes.
const FORMAT_BEFORE_LANES: &str = "millstream work queue, format 1\n";

/// Checks that `path` is a queue of this format, or makes it one.
pub(super) fn check(path: &Path) -> Result<(), QueueError> {
    let io = |source| QueueError::Io { path: path.to_owned(), source };
    create_private(path).map_err(io)?;
    match fs::read(path.join("FORMAT")) {
        Ok(format) if format == FORMAT.as_bytes() => Ok(()),
        Ok(format) if format == FORMAT_BEFORE_LANES.as_bytes() => write(path).map_err(io),
        Ok(format) => {
            let found = String::from_utf8_lossy(&format[..format.len().min(80)]).trim().to_owned();
            let (expected, older) = (FORMAT.trim(), FORMAT_BEFORE_LANES.trim());
            let detail = format!(
                "FORMAT says {found:?}, this version reads {expected:?} and {older:?}: use the version that wrote it, or \
                 start with an empty directory: waiting work is found again by comparing cache and tables"
            );
            Err(QueueError::Format { path: path.to_owned(), detail })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if fs::read_dir(path).map_err(io)?.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "FORMAT.new")) {
                let detail =
                    "the directory is not empty and has no file FORMAT, so it is not a queue: name another one";
                return Err(QueueError::Format { path: path.to_owned(), detail: detail.to_owned() });
            }
            write(path).map_err(io)
        }
        Err(error) => Err(io(error)),
    }
}

/// Writes the file, whole or not at all, before anything else is written.
fn write(path: &Path) -> io::Result<()> {
    let draft = path.join("FORMAT.new");
    let mut file = File::create(&draft)?;
    file.write_all(FORMAT.as_bytes())?;
    file.sync_all()?;
    fs::rename(draft, path.join("FORMAT"))?;
    File::open(path)?.sync_all()
}
