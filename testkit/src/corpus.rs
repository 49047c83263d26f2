//! Documents to load: the published corpus if it is available, and the small one of this repository.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::skip::report_skip;

/// The reason of a test that skips its work without the corpus.
pub(crate) const ABSENT: &str = "no corpus beside the repository, and MILLSTREAM_CORPUS names none";

/// A directory of ApiSchema files with matching documents.
#[derive(Debug, Clone)]
pub struct Corpus {
    root: PathBuf,
}

/// One document, ready to be posted.
#[derive(Debug, Clone, Deserialize)]
pub struct Document {
    /// The project's endpoint: `ed-fi`.
    pub project: String,
    /// The resource's endpoint: `studentSchoolAssociations`.
    pub resource: String,
    body: Box<RawValue>,
}

impl Document {
    /// Returns the body exactly as in the file.
    pub fn body(&self) -> &[u8] {
        self.body.get().as_bytes()
    }
}

/// Finds the published corpus: the directory that `MILLSTREAM_CORPUS` names, else `../shared/corpus` beside the
/// workspace; `None` if neither exists.
///
/// # Panics
/// When `MILLSTREAM_CORPUS` names a directory that does not exist: a silently skipped test would prove nothing.
pub fn find() -> Option<Corpus> {
    if let Some(named) = std::env::var_os("MILLSTREAM_CORPUS") {
        let root = PathBuf::from(named);
        assert!(root.is_dir(), "MILLSTREAM_CORPUS names {}, which is not a directory", root.display());
        return Some(Corpus { root });
    }
    let root = workspace().join("../shared/corpus");
    root.is_dir().then_some(Corpus { root })
}

/// [`find`], for a test that does nothing without the corpus: reports the skip.
///
/// # Panics
/// See [`find`].
pub fn find_or_skip() -> Option<Corpus> {
    let corpus = find();
    if corpus.is_none() {
        report_skip(ABSENT);
    }
    corpus
}

/// Returns the small schema and documents of this repository.
pub fn fixtures() -> Corpus {
    Corpus { root: workspace().join("schema/fixtures") }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

impl Corpus {
    /// Returns the directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns every `*ApiSchema.json` below the directory, ordered by name.
    ///
    /// # Panics
    /// When the directory cannot be read.
    pub fn schema_paths(&self) -> Vec<PathBuf> {
        self.files(|name| name.ends_with("ApiSchema.json"))
    }

    /// Returns the directory that holds the ApiSchema files.
    ///
    /// # Panics
    /// When it finds none, or the directory cannot be read.
    pub fn schema_dir(&self) -> PathBuf {
        let file = self.schema_paths().into_iter().next().expect("a schema file");
        file.parent().expect("a file is in a directory").to_owned()
    }

    /// Returns every `*.jsonl` and `*.jsonl.gz` below the directory, ordered by name.
    ///
    /// # Panics
    /// When the directory cannot be read.
    pub fn document_paths(&self) -> Vec<PathBuf> {
        self.files(|name| name.ends_with(".jsonl") || name.ends_with(".jsonl.gz"))
    }

    /// Opens the main file of the published corpus, whose documents refer to earlier ones only.
    pub fn documents(&self) -> io::Result<Documents> {
        read(&self.root.join("ds-5.2/documents.jsonl.gz"))
    }

    /// Opens the file of further documents, to load after the main file for volume.
    pub fn volume(&self) -> io::Result<Documents> {
        read(&self.root.join("ds-5.2/volume.jsonl.gz"))
    }

    fn files(&self, matches: impl Fn(&str) -> bool) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut directories = vec![self.root.clone()];
        while let Some(directory) = directories.pop() {
            let entries = directory.read_dir().unwrap_or_else(|error| unreadable(&directory, &error));
            for entry in entries {
                let path = entry.unwrap_or_else(|error| unreadable(&directory, &error)).path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.file_name().and_then(|name| name.to_str()).is_some_and(&matches) {
                    files.push(path);
                }
            }
        }
        files.sort();
        files
    }
}

fn unreadable(directory: &Path, error: &io::Error) -> ! {
    panic!("cannot read {}: {error}", directory.display())
}

/// Opens a file of documents, one JSON object per line, plain or gzip by its name.
pub fn read(path: &Path) -> io::Result<Documents> {
    let file = File::open(path)?;
    let gzip = path.extension().is_some_and(|extension| extension == "gz");
    let reader: Box<dyn BufRead + Send> = if gzip {
        Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file)))
    } else {
        Box::new(BufReader::with_capacity(1 << 16, file))
    };
    Ok(Documents { reader, line: Vec::new() })
}

/// An iterator over the documents of a file. Skips empty lines.
pub struct Documents {
    reader: Box<dyn BufRead + Send>,
    line: Vec<u8>,
}

impl Iterator for Documents {
    type Item = io::Result<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.line.clear();
            match self.reader.read_until(b'\n', &mut self.line) {
                Ok(0) => return None,
                Ok(_) if self.line.trim_ascii().is_empty() => {}
                Ok(_) => return Some(serde_json::from_slice(&self.line).map_err(io::Error::from)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn plain_and_gzip_give_the_same_bodies_byte_for_byte() {
        let lines = concat!(
            r#"{"resource":"schools","project":"ed-fi","source":"x","body":{"b": 1.10,"a":"é"}}"#,
            "\n\n",
            r#"{"resource":"students","project":"ed-fi","body":{}}"#,
        );
        let directory = tempfile::tempdir().expect("a directory");
        let plain = directory.path().join("a.jsonl");
        std::fs::write(&plain, lines).expect("written");
        let packed = directory.path().join("a.jsonl.gz");
        let mut encoder = GzEncoder::new(File::create(&packed).expect("created"), Compression::fast());
        encoder.write_all(lines.as_bytes()).and_then(|()| encoder.finish().map(drop)).expect("packed");
        for path in [plain, packed] {
            let documents: Vec<_> = read(&path).expect("opens").collect::<Result<_, _>>().expect("reads");
            assert_eq!(documents.len(), 2);
            assert_eq!(documents[0].body(), r#"{"b": 1.10,"a":"é"}"#.as_bytes());
            assert_eq!((documents[1].project.as_str(), documents[1].resource.as_str()), ("ed-fi", "students"));
        }
    }

    #[test]
    fn the_published_corpus_has_its_documents() {
        let Some(corpus) = find() else { return };
        assert_eq!(corpus.schema_paths().len(), 3);
        let count = |documents: io::Result<Documents>| {
            documents.and_then(Iterator::collect::<io::Result<Vec<_>>>).expect("every line is a document").len()
        };
        assert_eq!((count(corpus.documents()), count(corpus.volume())), (26_255, 29_260));
    }
}
