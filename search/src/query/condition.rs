//! Parsing of a condition's text into a comparison of its field.
//!
//! Numbers are rounded to the grid of the field: `:gte=5.5` on an integer is `:gt=5`, and a bound outside the range of
//! the field matches all values or none. So an engine never receives a number that its form of the field cannot hold.

use super::types::{Comparison, Operator};
use crate::model::FieldKind;
use crate::value::{Decimal, Floor, Value, floor};
use millstream_schema::calendar::{read_date, read_time, read_utc_second, write_utc_second};
use millstream_schema::referential::{canonical_number, lower_uri};
use uuid::Uuid;

/// A condition's text, parsed for one field.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ParsedCondition {
    /// The comparison.
    As(Comparison),
    /// Well-formed, but the field cannot hold a matching value.
    Never,
    /// Malformed, with the expected form.
    Malformed(&'static str),
}

/// Parses the client's text. A kind without an order takes [`Operator::Equal`] only.
pub(super) fn parse_condition(kind: FieldKind, operator: Operator, text: &str) -> ParsedCondition {
    let text_of = |text: String| ParsedCondition::As(operator.with(Value::Text(text)));
    let dated = |is_valid: bool, expected| {
        if is_valid { text_of(text.to_owned()) } else { ParsedCondition::Malformed(expected) }
    };
    match kind {
        FieldKind::Id => Uuid::try_parse(text).map_or(ParsedCondition::Never, |uuid| text_of(uuid.to_string())),
        FieldKind::Text => text_of(text.to_owned()),
        FieldKind::Descriptor if text.contains('#') => ParsedCondition::As(Comparison::Uri(lower_uri(text))),
        FieldKind::Descriptor => ParsedCondition::As(Comparison::Code(lower_uri(text))),
        FieldKind::Boolean => match parse_boolean(text) {
            Some(value) => ParsedCondition::As(operator.with(Value::Boolean(value))),
            None => ParsedCondition::Malformed("true or false"),
        },
        FieldKind::Date => dated(read_date(text).is_some(), "a date as yyyy-MM-dd"),
        FieldKind::Time => dated(read_time(text).is_some(), "a time as HH:mm:ss"),
        FieldKind::DateTime => match read_utc_second(text) {
            Some(second) => text_of(write_utc_second(second)),
            None => ParsedCondition::Malformed("a date and time as yyyy-MM-ddTHH:mm:ssZ"),
        },
        FieldKind::Integer => {
            let grid = Grid { scale: 0, min: i128::from(i64::MIN), max: i128::from(i64::MAX) };
            grid.parse(operator, text, "a whole number", |n| i64::try_from(n).ok().map(Value::Integer))
        }
        FieldKind::Decimal { precision, scale } => {
            let max = 10_i128.checked_pow(u32::from(precision)).map_or(i128::MAX, |power| power - 1);
            let grid = Grid { scale, min: -max, max };
            grid.parse(operator, text, "a number", |unscaled| Some(Value::Decimal(Decimal { unscaled, scale })))
        }
    }
}

fn parse_boolean(text: &str) -> Option<bool> {
    [("true", true), ("false", false)].into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, is)| is)
}

/// The numbers that a field can hold, in units of its last digit.
struct Grid {
    scale: u16,
    min: i128,
    max: i128,
}

impl Grid {
    fn parse(
        &self,
        operator: Operator,
        text: &str,
        expected: &'static str,
        value: impl Fn(i128) -> Option<Value>,
    ) -> ParsedCondition {
        let Some(canonical) = canonical_number(text) else {
            return match operator {
                Operator::Equal if is_json_number(text) => ParsedCondition::Never,
                _ if is_json_number(text) => {
                    ParsedCondition::Malformed("a number of at most 60 digits, 28 of them after the point,")
                }
                _ => ParsedCondition::Malformed(expected),
            };
        };
        let placed = self.place(operator, floor(&canonical, self.scale));
        let comparison = placed.and_then(|(operator, number)| Some(operator.with(value(number)?)));
        comparison.map_or(ParsedCondition::Never, ParsedCondition::As)
    }

    /// Returns the condition on grid numbers that accepts the same numbers; `None` if it accepts none.
    fn place(&self, operator: Operator, floor: Floor) -> Option<(Operator, i128)> {
        use Operator::{Above, AtLeast, AtMost, Below};
        let (number, is_exact) = match floor {
            Floor::At { number, is_exact } => (number, is_exact),
            Floor::Beyond { is_negative: true } => (i128::MIN, false),
            Floor::Beyond { is_negative: false } => (i128::MAX, false),
        };
        let operator = match operator {
            AtLeast if !is_exact => Above,
            Below if !is_exact => AtMost,
            same => same,
        };
        match operator {
            Above | AtLeast if number < self.min => Some((AtLeast, self.min)),
            Below | AtMost if number > self.max => Some((AtMost, self.max)),
            _ if number < self.min || number > self.max => None,
            Above | AtLeast | Below | AtMost => Some((operator, number)),
            Operator::Equal => is_exact.then_some((operator, number)),
        }
    }
}

fn is_json_number(text: &str) -> bool {
    !text.contains(char::is_whitespace) && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(operator: Operator, text: &str) -> ParsedCondition {
        parse_condition(FieldKind::Integer, operator, text)
    }

    fn whole(operator: Operator, number: i64) -> ParsedCondition {
        ParsedCondition::As(operator.with(Value::Integer(number)))
    }

    #[test]
    fn numbers_are_rounded_to_the_grid_of_the_field() {
        use Operator::{Above, AtLeast, AtMost, Below, Equal};
        assert_eq!(integer(Equal, "5.0"), whole(Equal, 5));
        assert_eq!(integer(Equal, "5.5"), ParsedCondition::Never);
        assert_eq!(integer(AtLeast, "5.5"), whole(Above, 5));
        assert_eq!(integer(Above, "-5.5"), whole(Above, -6));
        assert_eq!(integer(Below, "5.5"), whole(AtMost, 5));
        assert_eq!(integer(AtMost, "-5.5"), whole(AtMost, -6));
        let decimal = |operator, text| parse_condition(FieldKind::Decimal { precision: 5, scale: 2 }, operator, text);
        let hundredths = |operator: Operator, unscaled| {
            ParsedCondition::As(operator.with(Value::Decimal(Decimal { unscaled, scale: 2 })))
        };
        assert_eq!(decimal(Equal, "1.50"), hundredths(Equal, 150));
        assert_eq!(decimal(Equal, "1.505"), ParsedCondition::Never);
        assert_eq!(decimal(Below, "1.505"), hundredths(AtMost, 150));
        assert_eq!(decimal(AtMost, "1e9"), hundredths(AtMost, 99_999));
        assert_eq!(decimal(AtLeast, "1e9"), ParsedCondition::Never);
    }

    #[test]
    fn a_bound_beyond_the_field_accepts_all_or_nothing() {
        use Operator::{Above, AtLeast, AtMost, Below, Equal};
        for far in ["9223372036854775808", "1e50"] {
            assert_eq!(integer(Equal, far), ParsedCondition::Never);
            assert_eq!(integer(AtLeast, far), ParsedCondition::Never);
            assert_eq!(integer(Below, far), whole(AtMost, i64::MAX));
        }
        for far in ["-9223372036854775809", "-1e50"] {
            assert_eq!(integer(Above, far), whole(AtLeast, i64::MIN));
            assert_eq!(integer(AtMost, far), ParsedCondition::Never);
        }
        assert_eq!(integer(Equal, "1e400"), ParsedCondition::Never);
        assert!(matches!(integer(AtMost, "1e400"), ParsedCondition::Malformed(_)));
        assert!(matches!(integer(Equal, "five"), ParsedCondition::Malformed(_)));
    }

    #[test]
    fn descriptors_match_whole_or_by_code() {
        let parsed = |text| parse_condition(FieldKind::Descriptor, Operator::Equal, text);
        assert_eq!(parsed("uri://A#Tenth"), ParsedCondition::As(Comparison::Uri("uri://a#tenth".to_owned())));
        assert_eq!(parsed("Tenth Grade"), ParsedCondition::As(Comparison::Code("tenth grade".to_owned())));
    }

    #[test]
    fn a_value_that_cannot_occur_is_not_an_error() {
        assert_eq!(parse_condition(FieldKind::Id, Operator::Equal, "no uuid"), ParsedCondition::Never);
        assert!(matches!(
            parse_condition(FieldKind::Date, Operator::Below, "2031-02-30"),
            ParsedCondition::Malformed(_)
        ));
        assert!(matches!(parse_condition(FieldKind::Boolean, Operator::Equal, "1"), ParsedCondition::Malformed(_)));
    }
}
