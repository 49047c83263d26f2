//! Errors of a sink as a whole; outcomes of single documents are in `delivery`.

/// Why a sink could not carry out a call.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The sink is unreachable now. Trying again may help.
    #[error("{sink} cannot be reached: {reason}")]
    Unavailable {
        /// [`Sink::describe`](super::Sink::describe).
        sink: String,
        /// The failure.
        reason: String,
    },
    /// The sink's setup differs from the required one; an operator has to change it.
    #[error("{sink} is not set up as required: {}", differences.join("; "))]
    Incompatible {
        /// [`Sink::describe`](super::Sink::describe).
        sink: String,
        /// Every difference, with its remedy.
        differences: Vec<String>,
    },
    /// The sink holds or returned something invalid.
    #[error("{sink} returned an invalid response: {reason}")]
    Broken {
        /// [`Sink::describe`](super::Sink::describe).
        sink: String,
        /// The fault.
        reason: String,
    },
}
