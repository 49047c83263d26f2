//! Files as the checks see them.

use std::fmt;
use std::path::Path;
use std::process::Command;

/// A tracked text file.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Path from the root of the repository, with `/`.
    pub path: String,
    /// Content.
    pub text: String,
}

impl SourceFile {
    /// Returns a file with this content, for tests.
    #[must_use]
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Whether the file is a module of a crate, as opposed to a test, a bench, an example or another kind of text.
    #[must_use]
    pub fn is_module(&self) -> bool {
        self.path.ends_with(".rs") && self.path.split('/').nth(1) == Some("src")
    }

    /// The crate's folder: the first component of the path.
    #[must_use]
    pub fn crate_name(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// Returns a finding in this file.
    #[must_use]
    pub fn finding(&self, line: usize, message: &str) -> Finding {
        Finding { path: self.path.clone(), line, message: message.to_owned() }
    }
}

/// A module of a crate and its syntax.
pub struct Module<'a> {
    /// The file.
    pub file: &'a SourceFile,
    /// Its syntax.
    pub syntax: syn::File,
}

/// Parses the modules among `files`, with a finding for each that is not Rust.
#[must_use]
pub fn modules(files: &[SourceFile]) -> (Vec<Module<'_>>, Vec<Finding>) {
    let mut modules = Vec::new();
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_module()) {
        match syn::parse_file(&file.text) {
            Ok(syntax) => modules.push(Module { file, syntax }),
            Err(error) => findings.push(file.finding(error.span().start().line, &error.to_string())),
        }
    }
    (modules, findings)
}

/// One offence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The offence and the remedy.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Reads the tracked text files below `root`, files that git does not ignore included. Binary files are left out.
///
/// # Errors
/// When git cannot be run or a file cannot be read.
pub fn tracked(root: &Path) -> Result<Vec<SourceFile>, Box<dyn std::error::Error>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        return Err(format!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    let mut files = Vec::new();
    for path in String::from_utf8(output.stdout)?.split_terminator('\0') {
        let full = root.join(path);
        // A file that was deleted but not yet committed is still listed.
        if !full.is_file() {
            continue;
        }
        if let Ok(text) = String::from_utf8(std::fs::read(full)?) {
            files.push(SourceFile { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

/// Whether an item is compiled for tests only.
#[must_use]
pub fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|argument| argument.is_ident("test")))
    })
}

/// Returns the findings of a check of modules, for its tests.
#[cfg(test)]
pub(crate) fn findings(check: fn(&[Module<'_>]) -> Vec<Finding>, files: &[SourceFile]) -> Vec<Finding> {
    let (modules, unreadable) = modules(files);
    assert_eq!(unreadable, []);
    check(&modules)
}
