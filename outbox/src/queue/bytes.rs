//! Reading what a queue has written, byte by byte, with every fault named.

use super::QueueError;

/// Takes bytes from the front.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) what: &'static str,
}

impl Reader<'_> {
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], QueueError> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or_else(|| self.corrupt("too short"))?;
        self.bytes = rest;
        Ok(*array)
    }

    pub(super) fn end(&self) -> Result<(), QueueError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(self.corrupt("too long")) }
    }

    pub(super) fn corrupt(&self, how: &str) -> QueueError {
        QueueError::Corrupt(format!("{} is {how}", self.what))
    }
}
