//! Positions in a stream of changes.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// A point in a source's stream: everything before it was delivered, nothing after it.
///
/// For logical replication `lsn` is a WAL position. `X/Y:0` means "every transaction whose commit record starts before
/// `X/Y`": the position after a whole transaction (the end of its commit record) and the position that an idle server
/// reports. `X/Y:n` means "and the first `n` changes of the transaction whose commit record starts at `X/Y`": an LSN
/// alone does not distinguish the rows of a transaction, and the end of the commit record is known only after the last
/// row. In both cases `lsn` may be confirmed to the server, which then sends the unfinished transaction again.
///
/// A polling source uses the transaction id and the outbox id as the two numbers. A source that reads a Kafka topic
/// uses the sum of the next offsets of its partitions and, while records are redelivered after a restart, a count.
/// Positions of different sources do not compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// The WAL position (polling: the transaction id; topic: the sum of offsets).
    pub lsn: u64,
    /// The number of changes of the transaction that commits there (polling: the outbox id; topic: a count).
    pub ordinal: u64,
}

impl Position {
    /// Before everything.
    pub const ZERO: Self = Self { lsn: 0, ordinal: 0 };

    /// Returns the position after every transaction whose commit record starts before `lsn`.
    #[must_use]
    pub const fn before(lsn: u64) -> Self {
        Self { lsn, ordinal: 0 }
    }

    /// Returns the position [`Position::before`] `lsn` plus the first `ordinal` changes of the transaction whose commit
    /// record starts there.
    #[must_use]
    pub const fn within(lsn: u64, ordinal: u64) -> Self {
        Self { lsn, ordinal }
    }

    /// Encodes the position as 16 bytes that sort like it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.lsn) << 64) | u128::from(self.ordinal)).to_be_bytes()
    }

    /// Decodes the bytes of [`Position::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self { lsn: (both >> 64) as u64, ordinal: both as u64 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}:{}", self.lsn >> 32, self.lsn & 0xFFFF_FFFF, self.ordinal)
    }
}

/// A text that is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PositionParseError {
    /// A part is missing.
    #[error("invalid position {0:?}: expected the form 16/B374D848:0")]
    Form(String),
    /// A part is not a number.
    #[error("invalid position {text:?}: expected the form 16/B374D848:0")]
    Number {
        /// The whole text.
        text: String,
        /// The fault of the part.
        source: ParseIntError,
    },
}

impl FromStr for Position {
    type Err = PositionParseError;

    /// Parses `X/Y:n`, and `X/Y` as `X/Y:0`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (lsn, ordinal) = text.split_once(':').unwrap_or((text, "0"));
        let Some((high, low)) = lsn.split_once('/') else { return Err(PositionParseError::Form(text.to_owned())) };
        let number = |source| PositionParseError::Number { text: text.to_owned(), source };
        let high = u32::from_str_radix(high, 16).map_err(number)?;
        let low = u32::from_str_radix(low, 16).map_err(number)?;
        let ordinal = ordinal.parse().map_err(number)?;
        Ok(Self { lsn: (u64::from(high) << 32) | u64::from(low), ordinal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_read_back() {
        for position in [
            Position::ZERO,
            Position::before(0x16_B374_D848),
            Position::within(0x16_B374_D848, 17),
            Position::within(u64::MAX, u64::MAX),
        ] {
            assert_eq!(position.to_string().parse(), Ok(position));
            assert_eq!(Position::from_bytes(position.to_bytes()), position);
        }
        assert_eq!(Position::within(0x16_B374_D848, 17).to_string(), "16/B374D848:17");
        assert_eq!("16/B374D848".parse(), Ok(Position::before(0x16_B374_D848)));
    }

    #[test]
    fn invalid_positions_are_refused() {
        for text in ["", "16", "16/", "/1", "G/1:0", "1/1:", "1/1:-1", "1/1FFFFFFFF:0", "1/1:0:0"] {
            assert!(text.parse::<Position>().is_err(), "{text:?} was taken for a position");
        }
    }

    #[test]
    fn a_whole_transaction_comes_after_its_rows_and_before_the_next_ones() {
        let (commit_starts, commit_ends) = (0x100, 0x130);
        assert!(Position::before(commit_starts) < Position::within(commit_starts, 1));
        assert!(Position::within(commit_starts, 1_000_000) < Position::before(commit_ends));
        assert!(Position::before(commit_ends) < Position::within(commit_ends, 1), "the next commit may start there");
        assert!(Position::within(1, 2).to_bytes() < Position::before(2).to_bytes());
    }
}
