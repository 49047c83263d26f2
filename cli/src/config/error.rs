//! Errors of a configuration.

use std::fmt;

/// All errors of a configuration, so that one run reports every one of them. Never empty.
#[derive(Debug)]
pub struct ConfigErrors(pub(super) Vec<String>);

impl ConfigErrors {
    /// An error with one reason.
    pub(crate) fn one(reason: impl Into<String>) -> Self {
        Self(vec![reason.into()])
    }

    /// Returns the reasons, one sentence each.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => f.write_str(only),
            all => {
                write!(f, "invalid configuration:")?;
                all.iter().try_for_each(|reason| write!(f, "\n  {reason}"))
            }
        }
    }
}

impl std::error::Error for ConfigErrors {}
