//! UTC seconds as PostgreSQL parameters. [`millstream_schema::calendar`] parses the dates and times that clients write.

use bytes::BytesMut;
use jiff::civil::{DateTime, date};
use millstream_schema::calendar::{read_utc_second, write_utc_second};
use std::error::Error;
use std::fmt;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

pub use millstream_schema::calendar::{read_date, read_slashed_date, read_time};

/// The zero of PostgreSQL's timestamps.
const POSTGRES_EPOCH: DateTime = date(2000, 1, 1).at(0, 0, 0, 0);

const MICROS_PER_SECOND: i64 = 1_000_000;

/// A second of UTC within the years 0001 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcSecond(DateTime);

impl UtcSecond {
    /// Parses a date-time as [`read_utc_second`] does.
    pub fn read(text: &str) -> Option<Self> {
        read_utc_second(text).map(Self)
    }
}

/// `yyyy-MM-ddTHH:mm:ssZ`.
impl fmt::Display for UtcSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write_utc_second(self.0))
    }
}

/// A `timestamptz`.
impl ToSql for UtcSecond {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let seconds = self.0.duration_since(POSTGRES_EPOCH).as_secs();
        (seconds * MICROS_PER_SECOND).to_sql(&Type::INT8, out)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_counts_micros_from_2000() {
        for (text, micros) in [
            ("2000-01-01T00:00:00Z", 0),
            ("1999-12-31T23:59:59Z", -1_000_000),
            ("9999-12-31T23:59:59Z", 252_455_615_999_000_000),
        ] {
            let mut out = BytesMut::new();
            let second = UtcSecond::read(text).expect("a date-time");
            second.to_sql(&Type::TIMESTAMPTZ, &mut out).expect("eight bytes");
            assert_eq!(out.as_ref(), i64::to_be_bytes(micros), "{text}");
        }
    }
}
