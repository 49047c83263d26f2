//! Reads lines from files, plain or gzip, or from standard input, in bounded memory.

use super::line::{BadLine, Line, LinePosition};
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

/// Longest line. A longer one is refused without reading it: the server accepts no document of that size.
const LINE_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Capacity of the channel between reading and posting.
const LINES_AHEAD: usize = 64;
/// Size of the read buffers.
const READ_BYTES: usize = 64 * 1024;
/// First bytes of a text file in UTF-8 that some programs write, .NET and Excel among them.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// First bytes of a text file in UTF-16.
const UTF_16_MARKS: [&[u8]; 2] = [b"\xFE\xFF", b"\xFF\xFE"];
/// First bytes of a gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// An input of a load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file, plain or gzip.
    File(PathBuf),
    /// Standard input, plain or gzip.
    Stdin,
}

impl Input {
    /// Parses the argument of a command line: `-` means standard input.
    pub fn named(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Self::Stdin } else { Self::File(path) }
    }

    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
        }
    }

    /// Returns the size on disk, if it is known in advance.
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

/// An input cannot be read.
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

/// Bytes and lines read so far, ahead of the lines with a result.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    pub(super) bytes: Arc<AtomicU64>,
    pub(super) lines: AtomicU64,
}

/// One line of an input.
pub(crate) type InputLine = Result<Line, BadLine>;

/// Starts reading on a blocking thread, until the inputs end or the receiver is dropped.
pub(super) fn start(
    inputs: Vec<Input>,
    lines_max: Option<usize>,
    ahead: Arc<ReadAhead>,
) -> (JoinHandle<Result<(), SourceError>>, mpsc::Receiver<InputLine>) {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    let reader = tokio::task::spawn_blocking(move || {
        for input in &inputs {
            for line in Lines::open(input, Arc::clone(&ahead.bytes))?.take(lines_max.unwrap_or(usize::MAX)) {
                ahead.lines.fetch_add(1, Ordering::Relaxed);
                // The receiver is dropped: the load has stopped.
                if sender.blocking_send(line?).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    });
    (reader, receiver)
}

/// The lines of an input, without blank ones.
pub(crate) struct Lines {
    name: Arc<str>,
    text: Box<dyn BufRead>,
    number: u64,
    buffer: Vec<u8>,
}

impl Lines {
    /// Opens an input. Bytes read from it are added to `bytes_read`.
    pub(crate) fn open(input: &Input, bytes_read: Arc<AtomicU64>) -> Result<Self, SourceError> {
        let opened = input.open().and_then(|raw| decompressed(raw, bytes_read));
        let text = opened.map_err(|source| SourceError { input: input.name(), after_line: 0, source })?;
        Ok(Self { name: input.name().into(), text, number: 0, buffer: Vec::new() })
    }
}

impl Iterator for Lines {
    type Item = Result<InputLine, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut read = next_line(&mut self.text, &mut self.buffer);
            if self.number == 0 {
                read = read.and_then(|found| check_encoding(&mut self.buffer).map(|()| found));
            }
            let found = match read {
                Ok(ReadLine::End) => return None,
                Ok(found) => found,
                Err(source) => {
                    let (input, after_line) = (self.name.to_string(), self.number);
                    return Some(Err(SourceError { input, after_line, source }));
                }
            };
            self.number += 1;
            let position = LinePosition { input: Arc::clone(&self.name), line: self.number };
            match found {
                ReadLine::TooLong => {
                    let reason = format!("the line is longer than {LINE_MAX_BYTES} bytes");
                    return Some(Ok(Err(BadLine { position, reason, text: None })));
                }
                _ if self.buffer.iter().all(u8::is_ascii_whitespace) => {}
                _ => return Some(Ok(Line::parse(position, &self.buffer))),
            }
        }
    }
}

/// The result of reading one line.
enum ReadLine {
    Line,
    TooLong,
    End,
}

/// Reads one line into `buffer`; skips a line that is too long.
fn next_line(text: &mut Box<dyn BufRead>, buffer: &mut Vec<u8>) -> io::Result<ReadLine> {
    buffer.clear();
    if text.by_ref().take(LINE_MAX_BYTES).read_until(b'\n', buffer)? == 0 {
        return Ok(ReadLine::End);
    }
    if buffer.last() == Some(&b'\n') || (buffer.len() as u64) < LINE_MAX_BYTES {
        return Ok(ReadLine::Line);
    }
    buffer.clear();
    text.skip_until(b'\n')?;
    Ok(ReadLine::TooLong)
}

/// Returns the text of an input. Its first bytes, not its name, decide whether it is gzip.
fn decompressed(raw: Box<dyn Read>, bytes: Arc<AtomicU64>) -> io::Result<Box<dyn BufRead>> {
    let mut raw = Consumed { inner: BufReader::with_capacity(READ_BYTES, raw), bytes };
    if raw.fill_buf()?.starts_with(&GZIP_MAGIC) {
        Ok(Box::new(BufReader::with_capacity(READ_BYTES, MultiGzDecoder::new(raw))))
    } else {
        Ok(Box::new(raw))
    }
}

/// Removes a byte-order mark from the first line, and refuses UTF-16.
fn check_encoding(first_line: &mut Vec<u8>) -> io::Result<()> {
    if UTF_16_MARKS.iter().any(|mark| first_line.starts_with(mark)) {
        let reason = "it is encoded in UTF-16: convert it to UTF-8";
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    if first_line.starts_with(BYTE_ORDER_MARK) {
        first_line.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(())
}

/// Counts the bytes consumed, for the progress bar. A block of a compressed file has hundreds of lines, so counting bytes
/// read would run ahead of the lines posted.
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
