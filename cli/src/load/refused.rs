//! The file of refused lines. Each is a line that `load` can read again, with the answer beside it.

use super::{
    LoadError,
    line::{Line, Place},
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
}

impl RefusedFile {
    /// Makes the file, empty.
    pub fn create(path: PathBuf) -> Result<Self, LoadError> {
        match File::create(&path) {
            Ok(file) => Ok(Self { writer: BufWriter::new(file), path }),
            Err(source) => Err(LoadError::Refused { file: path, source }),
        }
    }

    pub(super) fn write(&mut self, place: &Place, line: Option<&Line>, refused: &Refused) -> Result<(), LoadError> {
        let body: Option<&RawValue> = line.and_then(|line| serde_json::from_slice(&line.body).ok());
        let entry = Entry {
            file: &place.input,
            line: place.line,
            status: refused.status,
            problem: if refused.kind.is_empty() { &refused.detail } else { &refused.kind },
            answer: Some(refused.answer.as_str()).filter(|answer| !answer.is_empty()),
            resource: line.map(|line| line.resource.as_str()),
            project: line.map(|line| line.project.as_str()),
            body,
        };
        let written = serde_json::to_writer(&mut self.writer, &entry).map_err(Into::into);
        let written = written.and_then(|()| self.writer.write_all(b"\n"));
        written.map_err(|source| LoadError::Refused { file: self.path.clone(), source })
    }

    pub(super) fn close(mut self) -> Result<(), LoadError> {
        self.writer.flush().map_err(|source| LoadError::Refused { file: self.path, source })
    }
}
