//! The file of refused lines. A posted line is written with its response, in a form that `load` reads again; of a line
//! that could not be posted, the text is written.

use super::{
    error::LoadError,
    line::{BadLine, Line, LinePosition},
    post::RefusedResponse,
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    fs::{File, OpenOptions},
    io::{BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

/// An open file of refused lines.
#[derive(Debug)]
pub struct RefusedFile {
    path: PathBuf,
    writer: BufWriter<File>,
}

#[derive(Serialize)]
struct Entry<'a> {
    file: &'a str,
    line: u64,
    status: u16,
    problem: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a RawValue>,
    /// The line, if it could not be posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

impl<'a> Entry<'a> {
    /// An entry with the position and the response.
    fn new(position: &'a LinePosition, refused: &'a RefusedResponse) -> Self {
        Self {
            file: &position.input,
            line: position.line,
            status: refused.status,
            problem: if refused.kind.is_empty() { &refused.detail } else { &refused.kind },
            answer: Some(refused.body.as_str()).filter(|body| !body.is_empty()),
            resource: None,
            project: None,
            body: None,
            text: None,
        }
    }
}

impl RefusedFile {
    /// Creates the file for the user of the process only, or truncates it.
    pub fn create(path: PathBuf) -> Result<Self, LoadError> {
        // It holds documents.
        match OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path) {
            Ok(file) => Ok(Self { writer: BufWriter::new(file), path }),
            Err(source) => Err(LoadError::Refused { file: path, source }),
        }
    }

    /// Writes a line that was refused by the server.
    pub(super) fn write(&mut self, line: &Line, refused: &RefusedResponse) -> Result<(), LoadError> {
        self.append(&Entry {
            resource: Some(&line.resource),
            project: Some(&line.project),
            body: serde_json::from_slice(&line.body).ok(),
            ..Entry::new(&line.position, refused)
        })
    }

    /// Writes a line that could not be posted, as text: it cannot be loaded again.
    pub(super) fn write_bad(&mut self, bad: &BadLine, refused: &RefusedResponse) -> Result<(), LoadError> {
        self.append(&Entry { text: bad.text.as_deref(), ..Entry::new(&bad.position, refused) })
    }

    fn append(&mut self, entry: &Entry<'_>) -> Result<(), LoadError> {
        let written = serde_json::to_writer(&mut self.writer, entry).map_err(Into::into);
        let written = written.and_then(|()| self.writer.write_all(b"\n"));
        written.map_err(|source| LoadError::Refused { file: self.path.clone(), source })
    }

    pub(super) fn close(mut self) -> Result<(), LoadError> {
        self.writer.flush().map_err(|source| LoadError::Refused { file: self.path, source })
    }
}
