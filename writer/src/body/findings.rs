//! Problems of a body, collected for one answer.

use crate::error::WriteError;
use std::collections::BTreeMap;

/// Maximum number of messages in one answer: a hostile body may have a problem in each of its hundred thousand items.
pub(crate) const MESSAGES_MAX: usize = 100;

/// The last message of an answer that does not list all problems.
pub(crate) const NOT_ALL: &str = "There are further problems, which are not listed.";

/// The client's message about one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProblemMessage(pub(crate) String);

impl From<ProblemMessage> for String {
    fn from(message: ProblemMessage) -> Self {
        message.0
    }
}

/// Problems of a body by JSON path, in the form of a problem document, up to [`MESSAGES_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Findings {
    by_path: BTreeMap<String, Vec<String>>,
    count: usize,
    is_cut: bool,
}

impl Findings {
    /// Adds a problem, unless the list is full or has it.
    pub(crate) fn add(&mut self, path: &str, message: impl Into<String>) {
        if self.count >= MESSAGES_MAX {
            self.is_cut = true;
            return;
        }
        let messages = self.by_path.entry(path.to_owned()).or_default();
        let message = message.into();
        if !messages.contains(&message) {
            messages.push(message);
            self.count += 1;
        }
    }

    /// Whether the list is full.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Whether there are no problems.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The error that lists the problems.
    pub(crate) fn into_error(self) -> WriteError {
        let errors = self.is_cut.then(|| NOT_ALL.to_owned());
        WriteError::Invalid { validation_errors: self.by_path, errors: errors.into_iter().collect() }
    }
}
