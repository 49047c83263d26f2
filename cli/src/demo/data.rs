//! The data of the demo: the Ed-Fi corpus if it is available, otherwise the small built-in schema.

use crate::failure::Failure;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The environment variable that names a corpus for tests and demo.
const CORPUS_VARIABLE: &str = "MILLSTREAM_CORPUS";
/// The default folder of a corpus, beside the repository.
const CORPUS_BESIDE: &str = "../shared/corpus";

/// The small schema and its documents.
const BUILT_IN: [(&str, &[u8]); 3] = [
    ("meadow.ApiSchema.json", include_bytes!("../../../schema/fixtures/meadow.ApiSchema.json")),
    ("brook.ApiSchema.json", include_bytes!("../../../schema/fixtures/brook.ApiSchema.json")),
    ("documents.jsonl", include_bytes!("../../../schema/fixtures/documents.jsonl")),
];

/// Schema files and documents of that schema.
#[derive(Debug)]
pub(super) struct DataSet {
    /// Description for people.
    pub(super) name: String,
    /// ApiSchema files, or the folder of them.
    pub(super) schema: Vec<PathBuf>,
    /// Documents to load first.
    pub(super) first: PathBuf,
    /// Documents to load on top.
    pub(super) second: PathBuf,
}

/// Returns the named corpus, or that of the default folder, or the built-in data, written to `scratch`.
pub(super) fn find(named: Option<&Path>, scratch: &Path) -> Result<DataSet, Failure> {
    let variable = std::env::var_os(CORPUS_VARIABLE).map(PathBuf::from);
    if let Some(folder) = named.map(Path::to_owned).or(variable) {
        let set = corpus(&folder)?;
        return set.ok_or_else(|| {
            Failure::usage(format!(
                "{} is not a corpus: it lacks apischema/ or ds-5.2/documents.jsonl.gz",
                folder.display()
            ))
        });
    }
    match corpus(Path::new(CORPUS_BESIDE))? {
        Some(set) => Ok(set),
        None => built_in(scratch),
    }
}

fn corpus(folder: &Path) -> Result<Option<DataSet>, Failure> {
    let Ok(folder) = folder.canonicalize() else { return Ok(None) };
    let (schema, first) = (folder.join("apischema"), folder.join("ds-5.2/documents.jsonl.gz"));
    if !schema.is_dir() || !first.is_file() {
        return Ok(None);
    }
    Ok(Some(DataSet {
        name: format!("the Ed-Fi corpus in {}", folder.display()),
        schema: vec![schema],
        first,
        second: folder.join("ds-5.2/volume.jsonl.gz"),
    }))
}

fn built_in(scratch: &Path) -> Result<DataSet, Failure> {
    let folder = scratch.join("meadow");
    let unpack = || {
        fs::create_dir_all(&folder)?;
        BUILT_IN.iter().try_for_each(|(name, bytes)| fs::write(folder.join(name), bytes))
    };
    unpack().map_err(|error| Failure::failed(format!("cannot write to {}: {error}", folder.display())))?;
    let documents = folder.join("documents.jsonl");
    Ok(DataSet {
        name: "the small built-in schema (no corpus was found; name one with --corpus or MILLSTREAM_CORPUS)".to_owned(),
        schema: vec![folder.join("meadow.ApiSchema.json"), folder.join("brook.ApiSchema.json")],
        first: documents.clone(),
        second: documents,
    })
}
