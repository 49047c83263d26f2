//! The components of a measurement.

/// The components that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// API and writer: the projector is stopped.
    Writer,
    /// All of `millstream up`, with an embedded index.
    Whole,
}

impl Part {
    /// The name in titles.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer alone",
            Self::Whole => "cache and embedded index kept current",
        }
    }
}
