//! The text of a query parameter, parsed as the type that it is compared with.

use crate::calendar::{UtcSecond, read_date, read_time};
use jiff::civil::{Date, Time};
use millstream_schema::plan::{ColumnType, QueryKind, ResourceKeyId};
use millstream_schema::referential::{canonical_number, lower_uri};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

/// A value as it is bound to a statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Parameter {
    Text(String),
    Int4(i32),
    Int8(i64),
    Bool(bool),
    Date(Date),
    Time(Time),
    Timestamp(UtcSecond),
    Uuid(Uuid),
}

impl Parameter {
    pub(crate) fn postgres_type(&self) -> Type {
        match self {
            Self::Text(_) => Type::TEXT,
            Self::Int4(_) => Type::INT4,
            Self::Int8(_) => Type::INT8,
            Self::Bool(_) => Type::BOOL,
            Self::Date(_) => Type::DATE,
            Self::Time(_) => Type::TIME,
            Self::Timestamp(_) => Type::TIMESTAMPTZ,
            Self::Uuid(_) => Type::UUID,
        }
    }

    pub(crate) fn as_sql(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Text(value) => value,
            Self::Int4(value) => value,
            Self::Int8(value) => value,
            Self::Bool(value) => value,
            Self::Date(value) => value,
            Self::Time(value) => value,
            Self::Timestamp(value) => value,
            Self::Uuid(value) => value,
        }
    }
}

/// A parameter's text as a field interprets it.
#[derive(Debug, PartialEq)]
pub(super) enum Reading {
    /// Compare with this.
    Value(Parameter),
    /// Compare with the descriptor that has this lower-case URI.
    Descriptor { uri_lower: String, key: ResourceKeyId },
    /// Well-formed, but equal to nothing that the column can hold.
    MatchesNothing,
    /// Not of the type; `expected` describes a valid value.
    Malformed { expected: &'static str },
}

/// Parses the client's text.
pub(super) fn read_value(kind: QueryKind, text: &str) -> Reading {
    let parsed = match kind {
        QueryKind::Uuid => {
            return Uuid::try_parse(text).map_or(Reading::MatchesNothing, |uuid| value(Parameter::Uuid(uuid)));
        }
        // PostgreSQL texts have no NUL, and it refuses one in a parameter.
        _ if text.contains('\0') => return Reading::MatchesNothing,
        QueryKind::Descriptor { key } => return Reading::Descriptor { uri_lower: lower_uri(text), key },
        QueryKind::Value(ty) => ty,
    };
    match parsed {
        ColumnType::Text => value(Parameter::Text(text.to_owned())),
        ColumnType::Int4 => read_integer(text, |n| i32::try_from(n).ok().map(Parameter::Int4)),
        ColumnType::Int8 => read_integer(text, |n| Some(Parameter::Int8(n))),
        ColumnType::Decimal { .. } => read_decimal(text),
        ColumnType::Bool if text.eq_ignore_ascii_case("true") => value(Parameter::Bool(true)),
        ColumnType::Bool if text.eq_ignore_ascii_case("false") => value(Parameter::Bool(false)),
        ColumnType::Bool => Reading::Malformed { expected: "true or false" },
        ColumnType::Date => or_malformed(read_date(text).map(Parameter::Date), "a date as yyyy-MM-dd"),
        ColumnType::Time => or_malformed(read_time(text).map(Parameter::Time), "a time as HH:mm:ss"),
        ColumnType::Timestamp => {
            or_malformed(UtcSecond::read(text).map(Parameter::Timestamp), "a date and time as yyyy-MM-ddTHH:mm:ssZ")
        }
        // Clients do not see surrogate keys: no text of theirs equals one.
        ColumnType::Document | ColumnType::Descriptor => Reading::MatchesNothing,
    }
}

fn value(parameter: Parameter) -> Reading {
    Reading::Value(parameter)
}

fn or_malformed(parameter: Option<Parameter>, expected: &'static str) -> Reading {
    parameter.map_or(Reading::Malformed { expected }, Reading::Value)
}

/// `5`, `5.0` and `5e0` are the integer 5; `5.5` and numbers out of range equal no integer.
fn read_integer(text: &str, bind: impl Fn(i64) -> Option<Parameter>) -> Reading {
    let parsed = match number(text) {
        Number::Canonical(parsed) => parsed,
        Number::TooLong => return Reading::MatchesNothing,
        Number::Not => return Reading::Malformed { expected: "a whole number" },
    };
    parsed.parse().ok().and_then(bind).map_or(Reading::MatchesNothing, Reading::Value)
}

/// Decimals are bound as text and cast to `numeric` by the condition.
fn read_decimal(text: &str) -> Reading {
    match number(text) {
        Number::Canonical(parsed) => value(Parameter::Text(parsed)),
        Number::TooLong => Reading::MatchesNothing,
        Number::Not => Reading::Malformed { expected: "a number" },
    }
}

enum Number {
    Canonical(String),
    /// A number with more digits than any column can hold.
    TooLong,
    Not,
}

fn number(text: &str) -> Number {
    match canonical_number(text) {
        Some(canonical) => Number::Canonical(canonical),
        None if is_json_number(text) => Number::TooLong,
        None => Number::Not,
    }
}

fn is_json_number(text: &str) -> bool {
    !text.contains(char::is_whitespace) && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ty: ColumnType, text: &str) -> Reading {
        read_value(QueryKind::Value(ty), text)
    }

    fn is_malformed(reading: &Reading) -> bool {
        matches!(reading, Reading::Malformed { .. })
    }

    #[test]
    fn integers_are_compared_as_numbers() {
        for text in ["5", "5.0", "5e0", "0.5e1"] {
            assert_eq!(read(ColumnType::Int4, text), Reading::Value(Parameter::Int4(5)), "{text}");
        }
        for text in ["5.5", "2147483648", "-2147483649", "1e400", "99999999999999999999999"] {
            assert_eq!(read(ColumnType::Int4, text), Reading::MatchesNothing, "{text}");
        }
        assert_eq!(read(ColumnType::Int8, "2147483648"), Reading::Value(Parameter::Int8(2_147_483_648)));
        for text in ["", "five", "5,0", "+5", " 5", "0x5"] {
            assert!(is_malformed(&read(ColumnType::Int8, text)), "{text}");
        }
    }

    #[test]
    fn dates_and_times_have_one_shape() {
        assert_eq!(read(ColumnType::Date, "2031-02-28"), Reading::Value(Parameter::Date(Date::constant(2031, 2, 28))));
        for text in ["2031-02-30", "2/28/2031", "20310228", "2031-02-28T00:00:00Z", "0000-01-01", "2031-2-28"] {
            assert!(is_malformed(&read(ColumnType::Date, text)), "{text}");
        }
        assert_eq!(read(ColumnType::Time, "09:05:00"), Reading::Value(Parameter::Time(Time::constant(9, 5, 0, 0))));
        for text in ["9:05", "09:05", "24:00:00", "09:05:60", "09:05:00.5", "09:05:00Z"] {
            assert!(is_malformed(&read(ColumnType::Time, text)), "{text}");
        }
    }

    #[test]
    fn date_times_become_whole_seconds_of_utc() {
        let expected = UtcSecond::read("2031-08-20T09:15:00Z").unwrap();
        for text in [
            "2031-08-20T09:15:00Z",
            "2031-08-20T09:15:00",
            "2031-08-20T09:15:00.987Z",
            "2031-08-20T11:15:00+02:00",
            "2031-08-20T09:15:00.5",
        ] {
            assert_eq!(read(ColumnType::Timestamp, text), Reading::Value(Parameter::Timestamp(expected)), "{text}");
        }
        for text in [
            "2031-08-20",
            "2031-08-20T09:15:60Z",
            "2031-08-20T25:00:00Z",
            "now",
            "2031-08-20T09:15:00 and",
            "2031-08-20T09:15:00Z[UTC]",
            "2031-08-20T09:15:00+25:00",
        ] {
            assert!(is_malformed(&read(ColumnType::Timestamp, text)), "{text}");
        }
    }

    #[test]
    fn what_can_match_nothing_is_no_error() {
        assert_eq!(read(ColumnType::Text, "a\0b"), Reading::MatchesNothing);
        assert_eq!(read_value(QueryKind::Uuid, "no uuid"), Reading::MatchesNothing);
        assert_eq!(read_value(QueryKind::Descriptor { key: 3 }, "uri://A#\0"), Reading::MatchesNothing);
        assert_eq!(
            read_value(QueryKind::Descriptor { key: 3 }, "uri://A#Tenth"),
            Reading::Descriptor { uri_lower: "uri://a#tenth".to_owned(), key: 3 }
        );
        assert!(is_malformed(&read(ColumnType::Bool, "1")));
        assert_eq!(
            read(ColumnType::Decimal { precision: 5, scale: 2 }, "1.50"),
            value(Parameter::Text("1.5".to_owned()))
        );
    }
}
