//! Decoding of a queue's records; every fault is an error that names the record.

use super::error::QueueError;

/// A cursor over one record.
pub struct Reader<'a> {
    /// The bytes that remain.
    pub bytes: &'a [u8],
    /// Names the record in errors.
    pub what: &'static str,
}

impl Reader<'_> {
    /// Takes `N` bytes from the front.
    ///
    /// # Errors
    /// [`QueueError::Corrupt`] if fewer remain.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], QueueError> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or_else(|| self.corrupt("too short"))?;
        self.bytes = rest;
        Ok(*array)
    }

    /// Requires that no bytes remain.
    ///
    /// # Errors
    /// [`QueueError::Corrupt`] if some do.
    pub fn end(&self) -> Result<(), QueueError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(self.corrupt("too long")) }
    }

    /// Returns the error for a fault in this record.
    #[must_use]
    pub fn corrupt(&self, how: &str) -> QueueError {
        QueueError::Corrupt(format!("{} is {how}", self.what))
    }
}
