//! The file of refused lines. Each that was posted is a line that `load` can read again, with the answer beside it; of
//! each that could not be, the text is kept.

use super::{
    LoadError,
    line::{BadLine, Line, Place},
    post::Refused,
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    fs::File,
    io::{BufWriter, Write},
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
    /// The line, where it is no request.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

impl<'a> Entry<'a> {
    /// Where the line stands, and what it was answered.
    fn new(place: &'a Place, refused: &'a Refused) -> Self {
        Self {
            file: &place.input,
            line: place.line,
            status: refused.status,
            problem: if refused.kind.is_empty() { &refused.detail } else { &refused.kind },
            answer: Some(refused.answer.as_str()).filter(|answer| !answer.is_empty()),
            resource: None,
            project: None,
            body: None,
            text: None,
        }
    }
}

impl RefusedFile {
    /// Makes the file, empty.
    pub fn create(path: PathBuf) -> Result<Self, LoadError> {
        match File::create(&path) {
            Ok(file) => Ok(Self { writer: BufWriter::new(file), path }),
            Err(source) => Err(LoadError::Refused { file: path, source }),
        }
    }

    /// A line that was answered.
    pub(super) fn write(&mut self, line: &Line, refused: &Refused) -> Result<(), LoadError> {
        self.append(&Entry {
            resource: Some(&line.resource),
            project: Some(&line.project),
            body: serde_json::from_slice(&line.body).ok(),
            ..Entry::new(&line.place, refused)
        })
    }

    /// A line that is no request. There is nothing to load again, so its text is kept.
    pub(super) fn write_bad(&mut self, bad: &BadLine, refused: &Refused) -> Result<(), LoadError> {
        self.append(&Entry { text: bad.text.as_deref(), ..Entry::new(&bad.place, refused) })
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
