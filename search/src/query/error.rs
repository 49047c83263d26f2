//! What is wrong with the parameters of a search: the client's doing, each names its parameter.

/// One parameter that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParameterError {
    /// Its name as the client wrote it.
    pub parameter: String,
    /// What is wrong, and what is expected.
    pub message: String,
}

/// Characters of a client's text that a message repeats.
const ECHO_CHARS_MAX: usize = 100;

impl ParameterError {
    pub(super) fn bad_value(parameter: &str, value: &str, expected: &str) -> Self {
        let message = format!(
            "The value '{}' of the query parameter '{}' is not valid: {expected} is expected.",
            echo(value),
            echo(parameter)
        );
        Self { parameter: parameter.to_owned(), message }
    }

    /// `what` goes on behind "The query parameter 'name' ".
    pub(super) fn new(parameter: &str, what: &str) -> Self {
        let message = format!("The query parameter '{}' {what}", echo(parameter));
        Self { parameter: parameter.to_owned(), message }
    }
}

/// A client's text, cut where it is long.
pub(super) fn echo(text: &str) -> String {
    match text.char_indices().nth(ECHO_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
