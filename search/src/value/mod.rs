//! Values as engines compare them: one canonical form of each, with one order.

mod read;

pub(crate) use read::{Compared, read};

use crate::model::FieldKind;
use millstream_schema::referential::canonical_number;
use std::fmt;

/// UTF-16 code units of the longest text that engines hold as an exact value. A longer one is found by free text only: to
/// equality, ranges, sorting and facets it is as if it were missing. (OpenSearch's `ignore_above` counts these units, and
/// its terms hold 32,766 bytes.)
pub const HELD_UNITS_MAX: usize = 8_191;

/// A value of a field, in its one canonical form. Values of one field are of one variant, and their order is the order in
/// which a search sorts: text byte for byte, numbers by size, `false` before `true`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Of an id, a text, a date, a time, a date-time (each in the spelling that [`FieldKind`] shows, whose bytes are in
    /// the order of what they mean) or a descriptor (its URI as it stands in the body).
    Text(String),
    /// Of an integer.
    Integer(i64),
    /// Of a decimal.
    Decimal(Decimal),
    /// Of a boolean.
    Boolean(bool),
}

/// An exact number. Those of one field have the same number of digits after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal {
    /// The number without its point: 1.50 with a scale of 2 is 150.
    pub unscaled: i128,
    /// Digits after the point.
    pub scale: u16,
}

/// The shortest exact spelling, as in bodies: `1.5`, `-0.25`, `3`.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = usize::from(self.scale);
        let digits = format!("{:0width$}", self.unscaled.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let sign = if self.unscaled < 0 { "-" } else { "" };
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{sign}{whole}"),
            fraction => write!(f, "{sign}{whole}.{fraction}"),
        }
    }
}

/// As in bodies, without quotes.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Decimal(number) => number.fmt(f),
            Self::Boolean(value) => value.fmt(f),
        }
    }
}

impl Value {
    /// As in bodies.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => serde_json::Value::String(text.clone()),
            Self::Integer(number) => serde_json::Value::from(*number),
            // The spelling is a JSON number whatever its digits.
            Self::Decimal(number) => serde_json::from_str(&number.to_string()).unwrap_or(serde_json::Value::Null),
            Self::Boolean(value) => serde_json::Value::Bool(*value),
        }
    }

    /// The value of a field of this kind that a body holds. `None`: none that an engine holds, because it is missing, too
    /// long ([`HELD_UNITS_MAX`]), or not of the kind, which no stored body is.
    pub fn from_json(kind: FieldKind, json: &serde_json::Value) -> Option<Self> {
        match (kind, json) {
            (FieldKind::Boolean, serde_json::Value::Bool(value)) => Some(Self::Boolean(*value)),
            (FieldKind::Integer | FieldKind::Decimal { .. }, serde_json::Value::Number(number)) => {
                Self::from_text(kind, &canonical_number(number.as_str())?)
            }
            (FieldKind::Boolean | FieldKind::Integer | FieldKind::Decimal { .. }, _) => None,
            (_, serde_json::Value::String(text)) => Self::from_text(kind, text),
            _ => None,
        }
    }

    /// Reads back what [`fmt::Display`] wrote of a value of a field of this kind.
    pub fn from_text(kind: FieldKind, text: &str) -> Option<Self> {
        match kind {
            FieldKind::Boolean => text.parse().ok().map(Self::Boolean),
            FieldKind::Integer => text.parse().ok().map(Self::Integer),
            FieldKind::Decimal { scale, .. } => read::exact(text, scale).map(Self::Decimal),
            _ => text.encode_utf16().nth(HELD_UNITS_MAX).is_none().then(|| Self::Text(text.to_owned())),
        }
    }
}

/// The code value of a descriptor's URI: what stands behind the first `#`, or the whole text without one.
pub fn code_of(uri: &str) -> &str {
    uri.split_once('#').map_or(uri, |(_, code)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_spelled_as_in_bodies() {
        for (unscaled, scale, text) in
            [(150, 2, "1.5"), (-25, 2, "-0.25"), (300, 2, "3"), (0, 4, "0"), (7, 0, "7"), (-1, 3, "-0.001")]
        {
            let decimal = Decimal { unscaled, scale };
            assert_eq!(decimal.to_string(), text);
            let kind = FieldKind::Decimal { precision: 9, scale };
            assert_eq!(Value::from_text(kind, text), Some(Value::Decimal(decimal)));
            assert_eq!(Value::from_json(kind, &Value::Decimal(decimal).to_json()), Some(Value::Decimal(decimal)));
        }
    }

    #[test]
    fn what_is_too_long_is_not_held() {
        let longest = "é".repeat(HELD_UNITS_MAX);
        assert!(Value::from_text(FieldKind::Text, &longest).is_some());
        assert!(Value::from_text(FieldKind::Text, &format!("{longest}x")).is_none());
        assert!(Value::from_text(FieldKind::Text, &"😀".repeat(HELD_UNITS_MAX / 2 + 1)).is_none());
    }

    #[test]
    fn a_code_value_stands_behind_the_first_hash() {
        assert_eq!(code_of("uri://a.example/D#C#"), "C#");
        assert_eq!(code_of("Tenth"), "Tenth");
    }
}
