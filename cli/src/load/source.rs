//! Reading lines out of files, gzip or not, or out of standard input, in bounded memory.

use super::line::{BadLine, Line, Place};
use flate2::bufread::MultiGzDecoder;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{sync::mpsc, task::JoinHandle};

/// A line above this size is refused unread: no server takes such a document.
const LINE_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Lines that wait between reading and posting.
const LINES_AHEAD: usize = 64;
/// Read at once, and unpacked at once.
const READ_BYTES: usize = 64 * 1024;
/// How a gzip file begins.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Something to read lines from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file, plain or gzip.
    File(PathBuf),
    /// Standard input, plain or gzip.
    Stdin,
}

impl Input {
    /// As it is written on a command line: `-` means standard input.
    pub fn named(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Self::Stdin } else { Self::File(path) }
    }

    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
        }
    }

    /// Its size on disk, if it has one that is known beforehand.
    pub fn size_bytes(&self) -> Option<u64> {
        match self {
            Self::File(path) => path.metadata().ok().filter(std::fs::Metadata::is_file).map(|data| data.len()),
            Self::Stdin => None,
        }
    }

    fn open(&self) -> io::Result<Box<dyn Read>> {
        match self {
            Self::File(path) => Ok(Box::new(File::open(path)?)),
            Self::Stdin => Ok(Box::new(io::stdin().lock())),
        }
    }
}

/// An input that cannot be read, at all or any further.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {input} after line {after_line}")]
pub struct SourceError {
    input: String,
    after_line: u64,
    source: io::Error,
}

impl SourceError {
    pub(super) fn interrupted(error: tokio::task::JoinError) -> Self {
        Self { input: "the inputs".to_owned(), after_line: 0, source: io::Error::other(error) }
    }
}

/// How far the inputs are read, which runs ahead of what is answered.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    pub(super) bytes: Arc<AtomicU64>,
    pub(super) lines: AtomicU64,
}

/// What comes out of an input.
pub(crate) type FromInput = Result<Line, BadLine>;

/// Starts reading on a thread for blocking work. It ends with the inputs, or when the receiver is dropped.
pub(super) fn start(
    inputs: Vec<Input>,
    lines_max: Option<usize>,
    ahead: Arc<ReadAhead>,
) -> (JoinHandle<Result<(), SourceError>>, mpsc::Receiver<FromInput>) {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    let reader = tokio::task::spawn_blocking(move || {
        for input in &inputs {
            for line in Lines::open(input, Arc::clone(&ahead.bytes))?.take(lines_max.unwrap_or(usize::MAX)) {
                ahead.lines.fetch_add(1, Ordering::Relaxed);
                // Nobody listens any more: the load has stopped.
                if sender.blocking_send(line?).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    });
    (reader, receiver)
}

/// The lines of an input, empty ones left out.
pub(crate) struct Lines {
    name: Arc<str>,
    text: Box<dyn BufRead>,
    number: u64,
    buffer: Vec<u8>,
}

impl Lines {
    /// Opens it. What is read of it is added to `bytes_read`.
    pub(crate) fn open(input: &Input, bytes_read: Arc<AtomicU64>) -> Result<Self, SourceError> {
        let opened = input.open().and_then(|raw| unpacked(raw, bytes_read));
        let text = opened.map_err(|source| SourceError { input: input.name(), after_line: 0, source })?;
        Ok(Self { name: input.name().into(), text, number: 0, buffer: Vec::new() })
    }
}

impl Iterator for Lines {
    type Item = Result<FromInput, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let found = match next_line(&mut self.text, &mut self.buffer) {
                Ok(Found::End) => return None,
                Ok(found) => found,
                Err(source) => {
                    let (input, after_line) = (self.name.to_string(), self.number);
                    return Some(Err(SourceError { input, after_line, source }));
                }
            };
            self.number += 1;
            let place = Place { input: Arc::clone(&self.name), line: self.number };
            match found {
                Found::TooLong => {
                    let reason = format!("the line is longer than {LINE_MAX_BYTES} bytes");
                    return Some(Ok(Err(BadLine { place, reason, text: None })));
                }
                _ if self.buffer.iter().all(u8::is_ascii_whitespace) => {}
                _ => return Some(Ok(Line::parse(place, &self.buffer))),
            }
        }
    }
}

enum Found {
    Line,
    TooLong,
    End,
}

/// Reads one line without its end into `buffer`; of a line that is too long it keeps nothing.
fn next_line(text: &mut Box<dyn BufRead>, buffer: &mut Vec<u8>) -> io::Result<Found> {
    buffer.clear();
    if text.by_ref().take(LINE_MAX_BYTES).read_until(b'\n', buffer)? == 0 {
        return Ok(Found::End);
    }
    if buffer.last() == Some(&b'\n') || (buffer.len() as u64) < LINE_MAX_BYTES {
        return Ok(Found::Line);
    }
    buffer.clear();
    text.skip_until(b'\n')?;
    Ok(Found::TooLong)
}

/// The text of an input, by what it begins with rather than by its name.
fn unpacked(raw: Box<dyn Read>, bytes: Arc<AtomicU64>) -> io::Result<Box<dyn BufRead>> {
    let mut raw = Consumed { inner: BufReader::with_capacity(READ_BYTES, raw), bytes };
    if raw.fill_buf()?.starts_with(&GZIP_MAGIC) {
        Ok(Box::new(BufReader::with_capacity(READ_BYTES, MultiGzDecoder::new(raw))))
    } else {
        Ok(Box::new(raw))
    }
}

/// Counts what is consumed, for the progress bar: a block of a compressed file holds hundreds of lines, so counting
/// what is read would run ahead of what is posted.
struct Consumed {
    inner: BufReader<Box<dyn Read>>,
    bytes: Arc<AtomicU64>,
}

impl Read for Consumed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl BufRead for Consumed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
        self.inner.consume(count);
    }
}
