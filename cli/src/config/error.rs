//! What is wrong with a configuration.

use std::fmt;

/// Every reason why a configuration cannot be used, so that one run names them all. Never empty.
#[derive(Debug)]
pub struct ConfigErrors(pub(super) Vec<String>);

impl ConfigErrors {
    /// One reason.
    pub(crate) fn one(reason: impl Into<String>) -> Self {
        Self(vec![reason.into()])
    }

    /// The reasons, a sentence each.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => f.write_str(only),
            all => {
                write!(f, "the configuration cannot be used:")?;
                all.iter().try_for_each(|reason| write!(f, "\n  {reason}"))
            }
        }
    }
}

impl std::error::Error for ConfigErrors {}
