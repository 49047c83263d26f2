//! Field values in canonical form, with the order in which engines compare them.

use crate::model::FieldKind;
use millstream_schema::referential::canonical_number;
use std::fmt;

/// Maximum length, in UTF-16 code units, of a text that engines hold as an exact value. A longer one is found by free
/// text only; equality, ranges, sorting and facets treat it as missing. (OpenSearch's `ignore_above` counts these
/// units, and its terms hold 32,766 bytes.)
pub const HELD_UNITS_MAX: usize = 8_191;

/// A field value in canonical form. Values of one field have the same variant, and their order is the sort order of a
/// search: text by bytes, numbers by size, `false` before `true`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// An id, text, date, time or date-time (in the spelling of [`FieldKind`], whose byte order is the order of the
    /// values), or a descriptor URI as spelled in the body.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A decimal.
    Decimal(Decimal),
    /// A boolean.
    Boolean(bool),
}

/// An exact number. All numbers of one field have the same scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal {
    /// The number without its point: 1.50 with a scale of 2 is 150.
    pub unscaled: i128,
    /// Digits after the point.
    pub scale: u16,
}

/// Writes the shortest exact spelling, as in bodies: `1.5`, `-0.25`, `3`.
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

/// Writes the value as in bodies, without quotes.
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
    /// Returns the value as in bodies.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => serde_json::Value::String(text.clone()),
            Self::Integer(number) => serde_json::Value::from(*number),
            // Every spelling of a decimal is a JSON number.
            Self::Decimal(number) => serde_json::from_str(&number.to_string()).unwrap_or(serde_json::Value::Null),
            Self::Boolean(value) => serde_json::Value::Bool(*value),
        }
    }

    /// Reads the value of a field of this kind from a body. `None` if engines do not hold it: it is missing, too long
    /// ([`HELD_UNITS_MAX`]), or not of the kind, which does not occur in stored bodies.
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

    /// Parses the [`fmt::Display`] form of a value of a field of this kind.
    pub fn from_text(kind: FieldKind, text: &str) -> Option<Self> {
        match kind {
            FieldKind::Boolean => text.parse().ok().map(Self::Boolean),
            FieldKind::Integer => text.parse().ok().map(Self::Integer),
            FieldKind::Decimal { scale, .. } => exact(text, scale).map(Self::Decimal),
            _ => text.encode_utf16().nth(HELD_UNITS_MAX).is_none().then(|| Self::Text(text.to_owned())),
        }
    }
}

/// Returns the code value of a descriptor URI: the part after the first `#`, or the whole text without one.
pub fn code_of(uri: &str) -> &str {
    uri.split_once('#').map_or(uri, |(_, code)| code)
}

/// The greatest number of a given scale that does not exceed a given number.
pub(crate) enum Floor {
    At {
        number: i128,
        is_exact: bool,
    },
    /// The number has more digits than an `i128`.
    Beyond {
        is_negative: bool,
    },
}

/// Rounds a canonical number down to a scale.
pub(crate) fn floor(canonical: &str, scale: u16) -> Floor {
    let (is_negative, digits) = canonical.strip_prefix('-').map_or((false, canonical), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = usize::from(scale);
    let (kept, cut) = fraction.split_at(fraction.len().min(scale));
    let Ok(size) = format!("{whole}{kept:0<scale$}").parse::<i128>() else { return Floor::Beyond { is_negative } };
    // A canonical fraction does not end in zero.
    let is_exact = cut.is_empty();
    let number = if is_negative { -size - i128::from(!is_exact) } else { size };
    Floor::At { number, is_exact }
}

/// Parses a canonical number with at most `scale` digits after the point.
fn exact(canonical: &str, scale: u16) -> Option<Decimal> {
    match floor(canonical, scale) {
        Floor::At { number, is_exact: true } => Some(Decimal { unscaled: number, scale }),
        _ => None,
    }
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
    fn too_long_texts_are_not_held() {
        let longest = "é".repeat(HELD_UNITS_MAX);
        assert!(Value::from_text(FieldKind::Text, &longest).is_some());
        assert!(Value::from_text(FieldKind::Text, &format!("{longest}x")).is_none());
        assert!(Value::from_text(FieldKind::Text, &"😀".repeat(HELD_UNITS_MAX / 2 + 1)).is_none());
    }

    #[test]
    fn a_code_value_follows_the_first_hash() {
        assert_eq!(code_of("uri://a.example/D#C#"), "C#");
        assert_eq!(code_of("Tenth"), "Tenth");
    }
}
