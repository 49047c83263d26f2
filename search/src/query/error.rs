//! Client errors in the parameters of a search; each names its parameter.

/// An invalid parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParameterError {
    /// The parameter's name as the client wrote it.
    pub parameter: String,
    /// The problem and the expected form.
    pub message: String,
}

/// Maximum characters of a client's text that a message repeats.
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

    /// Returns the error whose message continues "The query parameter 'name' " with `problem`.
    pub(super) fn new(parameter: &str, problem: &str) -> Self {
        let message = format!("The query parameter '{}' {problem}", echo(parameter));
        Self { parameter: parameter.to_owned(), message }
    }
}

/// Truncates a client's text.
pub(super) fn echo(text: &str) -> String {
    match text.char_indices().nth(ECHO_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
