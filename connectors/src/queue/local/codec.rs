//! Encodings of keys and of the values in `meta`. A change here, or in the encoding of an entry, requires another
//! [`super::format`].

use millstream_pipeline::queue::QueueError;
use millstream_pipeline::queue::bytes::Reader;
use millstream_pipeline::queue::entry::Line;
use uuid::Uuid;

/// Number of the cache queue; every other number is a sink's lane.
pub(super) const CACHE_QUEUE: u16 = 0;

/// Length of a key in `order`.
const ORDER_KEY_BYTES: usize = 2 + 1 + 8 + 8;

/// Returns the line's number on disk and in arrays.
pub(super) const fn number(line: Line) -> usize {
    match line {
        Line::Direct => 0,
        Line::Touch => 1,
        Line::Delayed => 2,
        Line::Quarantine => 3,
    }
}

/// A row of a line: its order, then the document.
pub(super) type LineRow = (u64, i64);

/// The smallest row.
pub(super) const FIRST_ROW: LineRow = (0, i64::MIN);

/// Encodes a document id so that bytes sort as the numbers do, negative ones included.
const fn sortable(document_id: i64) -> u64 {
    (document_id as u64) ^ (1 << 63)
}

pub(super) fn work_key(lane: u16, document_id: i64) -> [u8; 10] {
    let mut key = [0; 10];
    key[..2].copy_from_slice(&lane.to_be_bytes());
    key[2..].copy_from_slice(&sortable(document_id).to_be_bytes());
    key
}

pub(super) fn order_key(lane: u16, line: Line, (order, document_id): LineRow) -> [u8; ORDER_KEY_BYTES] {
    let mut key = [0; ORDER_KEY_BYTES];
    key[..2].copy_from_slice(&lane.to_be_bytes());
    key[2] = number(line) as u8;
    key[3..11].copy_from_slice(&order.to_be_bytes());
    key[11..].copy_from_slice(&sortable(document_id).to_be_bytes());
    key
}

pub(super) fn order_row(key: &[u8]) -> Result<LineRow, QueueError> {
    let mut bytes = Reader { bytes: key, what: "a row of a line" };
    bytes.array::<3>()?;
    let order = u64::from_be_bytes(bytes.array()?);
    let document_id = (u64::from_be_bytes(bytes.array()?) ^ (1 << 63)) as i64;
    bytes.end()?;
    Ok((order, document_id))
}

/// The number of entries in each line, and the row from which each line is walked after a restart. Its key in `meta` is
/// `book`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineSummary {
    pub(super) counts: [u64; 4],
    pub(super) heads: [LineRow; 4],
}

impl Default for LineSummary {
    fn default() -> Self {
        Self { counts: [0; 4], heads: [FIRST_ROW; 4] }
    }
}

impl LineSummary {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 * 8 + 4 * 16);
        for count in self.counts {
            bytes.extend_from_slice(&count.to_be_bytes());
        }
        for (order, document_id) in self.heads {
            bytes.extend_from_slice(&order.to_be_bytes());
            bytes.extend_from_slice(&document_id.to_be_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, QueueError> {
        let mut bytes = Reader { bytes, what: "the book" };
        let mut book = Self::default();
        for count in &mut book.counts {
            *count = u64::from_be_bytes(bytes.array()?);
        }
        for head in &mut book.heads {
            *head = (u64::from_be_bytes(bytes.array()?), i64::from_be_bytes(bytes.array()?));
        }
        bytes.end()?;
        Ok(book)
    }
}

/// Returns the key in `meta` of a lane's value. The cache queue's keys are those of format 1, which had no lanes.
pub(super) fn meta_key(lane: u16, name: &str) -> Vec<u8> {
    match lane {
        CACHE_QUEUE => name.as_bytes().to_vec(),
        _ => [&lane_prefix(lane)[..], name.as_bytes()].concat(),
    }
}

/// Returns the prefix of all keys of a lane in `meta`.
pub(super) fn lane_prefix(lane: u16) -> [u8; 8] {
    let mut prefix = *LANES_PREFIX_AND_NUMBER;
    prefix[5..7].copy_from_slice(&lane.to_be_bytes());
    prefix
}

/// Prefix of the keys of all lanes in `meta`.
pub(super) const LANES_PREFIX: &str = "lane/";

const LANES_PREFIX_AND_NUMBER: &[u8; 8] = b"lane/\0\0/";

/// Name of a lane's record in `meta` ([`meta_key`]).
pub(super) const RECORD: &str = "record";

/// Splits a key in `meta` that [`meta_key`] returned for a lane into the lane's number and the name.
pub(super) fn lane_of_meta_key(key: &[u8]) -> Result<(u16, &[u8]), QueueError> {
    let mut bytes = Reader { bytes: key, what: "a key of a lane" };
    bytes.array::<5>()?;
    let lane = u16::from_be_bytes(bytes.array()?);
    bytes.array::<1>()?;
    Ok((lane, bytes.bytes))
}

/// A lane's record in `meta`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LaneRecord {
    pub(super) name: String,
    pub(super) epoch: Uuid,
    pub(super) state: LaneState,
}

/// The state of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneState {
    Live,
    Paused,
    /// Its entries are being cleared.
    Removed,
}

impl LaneRecord {
    pub(super) fn encode(&self) -> Vec<u8> {
        let state = match self.state {
            LaneState::Live => 0,
            LaneState::Paused => 1,
            LaneState::Removed => 2,
        };
        [&[state], &self.epoch.as_bytes()[..], self.name.as_bytes()].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, QueueError> {
        let mut bytes = Reader { bytes, what: "the record of a lane" };
        let state = match bytes.array()? {
            [0] => LaneState::Live,
            [1] => LaneState::Paused,
            [2] => LaneState::Removed,
            _ => return Err(bytes.corrupt("of an unknown kind")),
        };
        let epoch = Uuid::from_bytes(bytes.array()?);
        let name = str::from_utf8(bytes.bytes).map_err(|_| bytes.corrupt("without a name that is text"))?;
        Ok(Self { name: name.to_owned(), epoch, state })
    }
}

/// Decodes the number that the next lane gets.
pub(super) fn lane_number(bytes: &[u8]) -> Result<u16, QueueError> {
    let mut bytes = Reader { bytes, what: "the number of the next lane" };
    let number = u16::from_be_bytes(bytes.array()?);
    bytes.end()?;
    Ok(number)
}

/// Decodes a text.
pub(super) fn text(bytes: &[u8]) -> Result<String, QueueError> {
    let bytes = Reader { bytes, what: "a text" };
    str::from_utf8(bytes.bytes).map(ToOwned::to_owned).map_err(|_| bytes.corrupt("that is not UTF-8"))
}

/// Decodes sixteen bytes: a position or an epoch.
pub(super) fn sixteen(bytes: &[u8]) -> Result<[u8; 16], QueueError> {
    let mut bytes = Reader { bytes, what: "a position or an epoch" };
    let array = bytes.array()?;
    bytes.end()?;
    Ok(array)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_pipeline::queue::Work;
    use millstream_pipeline::queue::entry::{Entry, Failure, examples};

    #[test]
    fn keys_read_back() {
        for row in [FIRST_ROW, (0, -1), (0, 0), (0, 1), (7, i64::MAX), (u64::MAX, 0)] {
            assert_eq!(order_row(&order_key(5, Line::Delayed, row)).ok(), Some(row));
        }
    }

    #[test]
    fn keys_sort_as_rows_do() {
        let rows = [FIRST_ROW, (0, -1), (0, 0), (0, 1), (0, i64::MAX), (1, -5), (u64::MAX, 0)];
        assert!(rows.is_sorted());
        assert!(rows.map(|row| order_key(0, Line::Direct, row)).is_sorted());
        assert!(order_key(0, Line::Direct, (u64::MAX, i64::MAX)) < order_key(0, Line::Touch, FIRST_ROW));
        assert!(order_key(1, Line::Quarantine, (u64::MAX, i64::MAX)) < order_key(256, Line::Direct, FIRST_ROW));
        assert!([-2, -1, 0, 1].map(|document_id| work_key(0, document_id)).is_sorted());
        assert!(work_key(255, i64::MAX) < work_key(256, i64::MIN));
    }

    /// Format 1 had the cache queue only; this version reads what it wrote.
    #[test]
    fn the_cache_queue_is_written_as_in_format_1() {
        assert_eq!(meta_key(CACHE_QUEUE, "book"), b"book");
        assert_eq!(meta_key(CACHE_QUEUE, "position"), b"position");
        assert_eq!(work_key(CACHE_QUEUE, 5), [0, 0, 128, 0, 0, 0, 0, 0, 0, 5]);
        let order = [0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9, 128, 0, 0, 0, 0, 0, 0, 5];
        assert_eq!(order_key(CACHE_QUEUE, Line::Delayed, (9, 5)), order);
        let failure = Failure { reason: "no".to_owned(), first_ms: 1, last_ms: 2 };
        let written = "3e00000000000000000000000000000009fffd0000010000000000ffffffffffffffff\
                       00000003000000000000000b000000000000000c000000000000000100000000000000026e6f";
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let example = examples::entry(Some(failure));
        // Repairs and histories came later.
        let entry = Entry { work: Work { repair: false, history: 0, ..example.work.clone() }, ..example };
        assert_eq!(hex(entry.to_bytes()), written);
        let book = LineSummary { counts: [1, 2, 3, 4], heads: [(5, 6), (7, 8), (9, 10), (11, -1)] };
        assert_eq!(hex(book.encode()).len(), 2 * (4 * 8 + 4 * 16));
        assert!(hex(book.encode()).starts_with("0000000000000001") && hex(book.encode()).ends_with("ffffffffffffffff"));
    }

    #[test]
    fn what_a_lane_has_reads_back() {
        for state in [LaneState::Live, LaneState::Paused, LaneState::Removed] {
            let record = LaneRecord { name: "search-2".to_owned(), epoch: Uuid::from_u128(3), state };
            assert_eq!(LaneRecord::decode(&record.encode()).ok(), Some(record));
        }
        assert_eq!(lane_of_meta_key(&meta_key(300, RECORD)).ok(), Some((300, RECORD.as_bytes())));
        assert!(meta_key(300, RECORD).starts_with(LANES_PREFIX.as_bytes()));
        assert!(
            LaneRecord::decode(&[7; 40]).is_err() && lane_of_meta_key(b"lane/").is_err() && lane_number(&[1]).is_err()
        );
    }

    #[test]
    fn damaged_bytes_are_named_not_guessed() {
        assert!(LineSummary::decode(&[0; 5]).is_err());
    }
}
