//! Findings in a set of ApiSchema files: each names the file, the JSON path and the remedy.

use std::fmt;
use std::path::{Path, PathBuf};

/// One reason why a set of files is refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoadError {
    /// The file.
    pub file: PathBuf,
    /// Place in the file: `$.projectSchema.resourceSchemas.students.queryFieldMapping.city[0].path`.
    pub json_path: String,
    /// The problem and its remedy.
    pub problem: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.file.display(), self.json_path, self.problem)
    }
}

/// Every reason why a set of files is refused, ordered by file and JSON path. Never empty.
#[derive(Debug, Clone)]
pub struct LoadErrors(Vec<LoadError>);

impl LoadErrors {
    /// The reasons.
    pub fn iter(&self) -> impl Iterator<Item = &LoadError> {
        self.0.iter()
    }
}

impl fmt::Display for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the ApiSchema files cannot be used:")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for LoadErrors {}

/// A place in a file.
#[derive(Debug, Clone)]
pub(super) struct Location<'a> {
    file: &'a Path,
    path: String,
}

impl<'a> Location<'a> {
    pub(super) fn root(file: &'a Path) -> Self {
        Self { file, path: "$".to_owned() }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the location of member `name` of the object here.
    pub(super) fn member(&self, name: &str) -> Self {
        let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'));
        let path = if plain { format!("{}.{name}", self.path) } else { format!("{}['{name}']", self.path) };
        Self { file: self.file, path }
    }

    /// Returns the location of item `index` of the array here.
    pub(super) fn item(&self, index: usize) -> Self {
        Self { file: self.file, path: format!("{}[{index}]", self.path) }
    }

    /// Returns the location below this one at a relative path.
    pub(super) fn below(&self, relative: &str) -> Self {
        let dot = if relative.is_empty() || relative.starts_with('[') { "" } else { "." };
        Self { file: self.file, path: format!("{}{dot}{relative}", self.path) }
    }

    fn finding(&self, problem: impl Into<String>) -> LoadError {
        LoadError { file: self.file.to_path_buf(), json_path: self.path.clone(), problem: problem.into() }
    }
}

/// Collects findings, so that one run reports them all.
#[derive(Debug, Default)]
pub(super) struct Findings {
    errors: Vec<LoadError>,
    warnings: Vec<LoadError>,
}

impl Findings {
    /// Adds a reason to refuse the set.
    pub(super) fn refuse(&mut self, at: &Location<'_>, problem: impl Into<String>) {
        self.errors.push(at.finding(problem));
    }

    /// Adds a warning, which does not refuse the set.
    pub(super) fn warn(&mut self, at: &Location<'_>, problem: impl Into<String>) {
        self.warnings.push(at.finding(problem));
    }

    /// Returns the warnings in a fixed order if nothing is refused; else every reason, and empties the collector.
    pub(super) fn conclude(&mut self) -> Result<Vec<String>, LoadErrors> {
        let mut errors = std::mem::take(&mut self.errors);
        if errors.is_empty() {
            self.warnings.sort();
            self.warnings.dedup();
            return Ok(self.warnings.iter().map(ToString::to_string).collect());
        }
        errors.sort();
        errors.dedup();
        Err(LoadErrors(errors))
    }
}
