//! Which directories the queue opens: those whose file `FORMAT` says so, and empty ones.
//!
//! Format 1 knew the stage alone. Format 2 has lanes beside it and is the same otherwise, so a directory of format 1 is
//! taken over by saying so; from then on a version that knows nothing of lanes refuses it, instead of forgetting what is
//! owed to the sinks.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use millstream_pipeline::queue::QueueError;

/// The content of the file `FORMAT`.
const FORMAT: &str = "millstream work queue, format 2\n";

/// What it was before there were lanes.
const FORMAT_BEFORE_LANES: &str = "millstream work queue, format 1\n";

/// Makes sure that `path` is a queue of this format, or becomes one.
pub(super) fn check(path: &Path) -> Result<(), QueueError> {
    let io = |source| QueueError::Io { path: path.to_owned(), source };
    fs::create_dir_all(path).map_err(io)?;
    match fs::read(path.join("FORMAT")) {
        Ok(format) if format == FORMAT.as_bytes() => Ok(()),
        Ok(format) if format == FORMAT_BEFORE_LANES.as_bytes() => write(path).map_err(io),
        Ok(format) => {
            let found = String::from_utf8_lossy(&format[..format.len().min(80)]).trim().to_owned();
            let (expected, older) = (FORMAT.trim(), FORMAT_BEFORE_LANES.trim());
            let detail = format!(
                "FORMAT says {found:?}, this version reads {expected:?} and {older:?}: use the version that wrote it, or \
                 start with an empty directory: what was waiting is found again by comparing cache and tables"
            );
            Err(QueueError::Format { path: path.to_owned(), detail })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if fs::read_dir(path).map_err(io)?.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "FORMAT.new")) {
                let detail = "the directory is not empty and has no file FORMAT, so it is no queue: name another one";
                return Err(QueueError::Format { path: path.to_owned(), detail: detail.to_owned() });
            }
            write(path).map_err(io)
        }
        Err(error) => Err(io(error)),
    }
}

/// Appears whole or not at all, and before anything else.
fn write(path: &Path) -> io::Result<()> {
    let draft = path.join("FORMAT.new");
    let mut file = File::create(&draft)?;
    file.write_all(FORMAT.as_bytes())?;
    file.sync_all()?;
    fs::rename(draft, path.join("FORMAT"))?;
    File::open(path)?.sync_all()
}
