//! A received record, and the error of one that cannot be decoded.

/// A record as received.
#[derive(Debug, Clone, Default)]
pub(in crate::source::topic) struct TopicRecord<'a> {
    pub(in crate::source::topic) value: Option<&'a [u8]>,
    pub(in crate::source::topic) headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

/// The reason why a record cannot be decoded, with the remedy where one is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(in crate::source::topic) struct UndecodableRecord(pub(super) String);

impl From<String> for UndecodableRecord {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

impl From<&str> for UndecodableRecord {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

#[cfg(test)]
impl UndecodableRecord {
    /// Returns whether the reason contains a word.
    pub(super) fn contains(&self, word: &str) -> bool {
        self.0.contains(word)
    }
}
