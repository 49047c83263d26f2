//! How far a stream of changes has been followed.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// A point in a source's stream: everything up to it has been seen, nothing after it.
///
/// For logical replication `lsn` is a WAL position. `X/Y:0` means "every transaction whose commit record starts before
/// `X/Y`"; that is what a whole transaction ends with (the end of its commit record) and what an idle server reports.
/// `X/Y:n` means "and the first `n` changes of the transaction whose commit record starts at `X/Y`": an LSN alone does
/// not tell the rows of a transaction apart, and the end of the commit record is known only after the last of them.
/// Either way `lsn` itself may be confirmed to the server, which then sends the unfinished transaction again.
///
/// A polling source uses the transaction id and the outbox id in place of the two numbers. A source that reads a Kafka
/// topic uses the sum of the next offsets of its partitions and, while records come again after a restart, a count.
/// Positions of different sources do not compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Where in the WAL (or the transaction id, when polling; or the sum of offsets, in a topic).
    pub lsn: u64,
    /// How many changes of the transaction that commits there (or the outbox id, when polling; or a count, in a topic).
    pub ordinal: u64,
}

impl Position {
    /// Before everything.
    pub const ZERO: Self = Self { lsn: 0, ordinal: 0 };

    /// Every transaction whose commit record starts before `lsn`.
    #[must_use]
    pub const fn before(lsn: u64) -> Self {
        Self { lsn, ordinal: 0 }
    }

    /// As [`Position::before`], and the first `ordinal` changes of the transaction whose commit record starts at `lsn`.
    #[must_use]
    pub const fn within(lsn: u64, ordinal: u64) -> Self {
        Self { lsn, ordinal }
    }

    /// The position as 16 bytes that sort like it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.lsn) << 64) | u128::from(self.ordinal)).to_be_bytes()
    }

    /// The position that [`Position::to_bytes`] was made from.
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

/// A text that is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PositionParseError {
    /// The parts are not there.
    #[error("{0:?} is no position: expected the form 16/B374D848:0")]
    Form(String),
    /// A part is no number.
    #[error("{text:?} is no position: expected the form 16/B374D848:0")]
    Number {
        /// The whole text.
        text: String,
        /// What is wrong with the part.
        source: ParseIntError,
    },
}

impl FromStr for Position {
    type Err = PositionParseError;

    /// Reads `X/Y:n`, and `X/Y` as `X/Y:0`.
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
    fn what_is_no_position_is_refused() {
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
