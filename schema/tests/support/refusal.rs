//! The small schema, changed in memory, and assertions on its refusal.

use millstream_schema::apischema::{LoadErrors, load_texts};
use serde_json::Value;
use std::path::PathBuf;

/// Name of the core file in messages.
pub(crate) const CORE: &str = "core.json";
/// Name of the extension file in messages.
pub(crate) const EXTENSION: &str = "extension.json";

/// The two files of the small schema, to be changed.
pub(crate) struct Files {
    pub(crate) core: Value,
    pub(crate) extension: Value,
}

impl Files {
    pub(crate) fn new() -> Self {
        let [core, extension] = super::fixture_files().map(|file| {
            let text = std::fs::read(&file).expect("the fixture is there");
            serde_json::from_slice(&text).expect("the fixture is JSON")
        });
        Self { core, extension }
    }

    /// Returns a resource of the core.
    pub(crate) fn resource(&mut self, endpoint: &str) -> &mut Value {
        &mut self.core["projectSchema"]["resourceSchemas"][endpoint]
    }

    /// Returns a resource of the extension.
    pub(crate) fn added(&mut self, endpoint: &str) -> &mut Value {
        &mut self.extension["projectSchema"]["resourceSchemas"][endpoint]
    }

    pub(crate) fn texts(&self) -> Vec<(PathBuf, Vec<u8>)> {
        [(CORE, &self.core), (EXTENSION, &self.extension)]
            .map(|(name, value)| (PathBuf::from(name), value.to_string().into_bytes()))
            .to_vec()
    }
}

/// Loads the changed schema and asserts that it is refused at `place` of `file` with a message that contains `words`.
pub(crate) fn refused(file: &str, place: &str, words: &str, change: impl FnOnce(&mut Files)) -> LoadErrors {
    let mut files = Files::new();
    change(&mut files);
    refused_texts(file, place, words, &files.texts())
}

pub(crate) fn refused_texts(file: &str, place: &str, words: &str, texts: &[(PathBuf, Vec<u8>)]) -> LoadErrors {
    let errors = load_texts(texts).map(|set| set.hash).expect_err("the set is refused");
    let hit =
        errors.iter().any(|e| e.file.ends_with(file) && e.json_path.ends_with(place) && e.problem.contains(words));
    assert!(hit, "expected {file} … {place} … {words}, got {errors}");
    errors
}

/// Asserts like [`refused`], and that nothing else is refused.
pub(crate) fn refused_alone(file: &str, place: &str, words: &str, change: impl FnOnce(&mut Files)) {
    let errors = refused(file, place, words, change);
    assert_eq!(errors.iter().count(), 1, "{errors}");
}
