//! The types of values in the configuration.

/// The type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file or a folder.
    Path,
    /// Several paths: a list in a file, separated by `:` in the environment, a repeated flag.
    Paths,
    /// Address and port.
    Address,
    /// A PostgreSQL connection string; it may contain a password.
    DatabaseUrl,
    /// An http or https URL.
    Url,
    /// The name of an object in PostgreSQL.
    Identifier,
    /// An integer between two bounds, both included.
    Number {
        /// The lower bound.
        min: u64,
        /// The upper bound.
        max: u64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any number of these words: a list in a file, separated by `,` elsewhere.
    Words(&'static [&'static str]),
    /// Text.
    Text,
    /// Text that is masked when shown.
    Secret,
    /// `name=value` pairs whose values are masked when shown: a list in a file, separated by `,` elsewhere.
    Properties,
    /// A log filter: a level, or `target=level` pairs.
    LogFilter,
}

impl Kind {
    /// Returns the separator of several values outside of lists; `None` for a kind that takes one value.
    pub const fn separator(self) -> Option<char> {
        match self {
            Self::Paths => Some(':'),
            Self::Words(_) | Self::Properties => Some(','),
            _ => None,
        }
    }
}
