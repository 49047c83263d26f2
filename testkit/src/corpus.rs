//! Documents to load: the real corpus where it is at hand, and the small one of this repository.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A folder of ApiSchema files and documents that fit them.
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
    /// The body exactly as it is in the file.
    pub fn body(&self) -> &[u8] {
        self.body.get().as_bytes()
    }
}

/// The real corpus: the folder that `MILLSTREAM_CORPUS` names, else `../shared/corpus` beside the workspace; `None` if
/// there is neither.
///
/// # Panics
/// When `MILLSTREAM_CORPUS` names a folder that is not there: a test that silently did without would prove nothing.
pub fn find() -> Option<Corpus> {
    if let Some(named) = std::env::var_os("MILLSTREAM_CORPUS") {
        let root = PathBuf::from(named);
        assert!(root.is_dir(), "MILLSTREAM_CORPUS names {}, which is no folder", root.display());
        return Some(Corpus { root });
    }
    let root = workspace().join("../shared/corpus");
    root.is_dir().then_some(Corpus { root })
}

/// The small schema and documents of this repository.
pub fn fixtures() -> Corpus {
    Corpus { root: workspace().join("schema/fixtures") }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

impl Corpus {
    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Every `*ApiSchema.json` below the folder, in order of name.
    ///
    /// # Panics
    /// When the folder cannot be read.
    pub fn schema_paths(&self) -> Vec<PathBuf> {
        self.files(|name| name.ends_with("ApiSchema.json"))
    }

    /// Every `*.jsonl` and `*.jsonl.gz` below the folder, in order of name.
    ///
    /// # Panics
    /// When the folder cannot be read.
    pub fn document_paths(&self) -> Vec<PathBuf> {
        self.files(|name| name.ends_with(".jsonl") || name.ends_with(".jsonl.gz"))
    }

    /// The documents of the main file of the real corpus, in an order in which each refers to earlier ones only.
    pub fn documents(&self) -> io::Result<Documents> {
        read(&self.root.join("ds-5.2/documents.jsonl.gz"))
    }

    /// The documents to load after those, for volume.
    pub fn volume(&self) -> io::Result<Documents> {
        read(&self.root.join("ds-5.2/volume.jsonl.gz"))
    }

    fn files(&self, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            let entries = folder.read_dir().unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
            for entry in entries {
                let path = entry.unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display())).path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().and_then(|name| name.to_str()).is_some_and(&wanted) {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

/// The documents of a file, one JSON object a line, plain or gzip by its name.
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

/// Reads documents line by line; empty lines are skipped.
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
        let folder = tempfile::tempdir().expect("a folder");
        let plain = folder.path().join("a.jsonl");
        std::fs::write(&plain, lines).expect("written");
        let packed = folder.path().join("a.jsonl.gz");
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
    fn the_real_corpus_has_its_documents() {
        let Some(corpus) = find() else { return };
        assert_eq!(corpus.schema_paths().len(), 3);
        let count = |documents: io::Result<Documents>| {
            documents.and_then(Iterator::collect::<io::Result<Vec<_>>>).expect("every line is a document").len()
        };
        assert_eq!((count(corpus.documents()), count(corpus.volume())), (26_255, 29_260));
    }
}
