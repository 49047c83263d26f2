//! The text of a condition, read as what its field is compared with.
//!
//! Numbers are moved onto the grid of the field: `:gte=5.5` on an integer is `:gte=6`, and a bound beyond what the field
//! holds takes in all values or none. So an engine never meets a number that its own form of the field could not hold.

use super::{Decimal, Value};
use crate::model::FieldKind;
use crate::query::{Comparison, Operator};
use millstream_schema::calendar::{read_date, read_time, read_utc_second, write_utc_second};
use millstream_schema::referential::{canonical_number, lower_uri};
use uuid::Uuid;

/// What a condition's text means to one field.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// Compare in this way.
    As(Comparison),
    /// Well-formed, and no value that the field can hold meets it.
    Never,
    /// Not of the kind; what would be.
    Malformed(&'static str),
}

/// Reads the client's text. Only [`Operator::Equal`] for a kind without an order.
pub(crate) fn read(kind: FieldKind, operator: Operator, text: &str) -> Compared {
    let text_of = |text: String| Compared::As(operator.with(Value::Text(text)));
    let dated =
        |is_read: bool, expected| if is_read { text_of(text.to_owned()) } else { Compared::Malformed(expected) };
    match kind {
        FieldKind::Id => Uuid::try_parse(text).map_or(Compared::Never, |uuid| text_of(uuid.to_string())),
        FieldKind::Text => text_of(text.to_owned()),
        FieldKind::Descriptor if text.contains('#') => Compared::As(Comparison::Uri(lower_uri(text))),
        FieldKind::Descriptor => Compared::As(Comparison::Code(lower_uri(text))),
        FieldKind::Boolean => match read_boolean(text) {
            Some(value) => Compared::As(operator.with(Value::Boolean(value))),
            None => Compared::Malformed("true or false"),
        },
        FieldKind::Date => dated(read_date(text).is_some(), "a date as yyyy-MM-dd"),
        FieldKind::Time => dated(read_time(text).is_some(), "a time as HH:mm:ss"),
        FieldKind::DateTime => match read_utc_second(text) {
            Some(second) => text_of(write_utc_second(second)),
            None => Compared::Malformed("a date and time as yyyy-MM-ddTHH:mm:ssZ"),
        },
        FieldKind::Integer => {
            let grid = Grid { scale: 0, min: i128::from(i64::MIN), max: i128::from(i64::MAX) };
            grid.read(operator, text, "a whole number", |n| i64::try_from(n).ok().map(Value::Integer))
        }
        FieldKind::Decimal { precision, scale } => {
            let max = 10_i128.checked_pow(u32::from(precision)).map_or(i128::MAX, |power| power - 1);
            let grid = Grid { scale, min: -max, max };
            grid.read(operator, text, "a number", |unscaled| Some(Value::Decimal(Decimal { unscaled, scale })))
        }
    }
}

fn read_boolean(text: &str) -> Option<bool> {
    [("true", true), ("false", false)].into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, is)| is)
}

/// The numbers that a field can hold, as multiples of its last digit.
struct Grid {
    scale: u16,
    min: i128,
    max: i128,
}

impl Grid {
    fn read(
        &self,
        operator: Operator,
        text: &str,
        expected: &'static str,
        value: impl Fn(i128) -> Option<Value>,
    ) -> Compared {
        let Some(canonical) = canonical_number(text) else {
            return match operator {
                Operator::Equal if is_json_number(text) => Compared::Never,
                _ if is_json_number(text) => {
                    Compared::Malformed("a number of at most 60 digits, 28 of them after the point,")
                }
                _ => Compared::Malformed(expected),
            };
        };
        let placed = self.place(operator, floor(&canonical, self.scale));
        let comparison = placed.and_then(|(operator, number)| Some(operator.with(value(number)?)));
        comparison.map_or(Compared::Never, Compared::As)
    }

    /// The condition that holds for the same numbers of the grid; `None` for none of them.
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

/// The greatest number with so many digits after the point that is not above a given one.
enum Floor {
    At {
        number: i128,
        is_exact: bool,
    },
    /// More digits than any grid has.
    Beyond {
        is_negative: bool,
    },
}

fn floor(canonical: &str, scale: u16) -> Floor {
    let (is_negative, digits) = canonical.strip_prefix('-').map_or((false, canonical), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = usize::from(scale);
    let (kept, cut) = fraction.split_at(fraction.len().min(scale));
    let Ok(size) = format!("{whole}{kept:0<scale$}").parse::<i128>() else { return Floor::Beyond { is_negative } };
    // A canonical fraction ends in no zero.
    let is_exact = cut.is_empty();
    let number = if is_negative { -size - i128::from(!is_exact) } else { size };
    Floor::At { number, is_exact }
}

/// A canonical number that has no more digits after the point than this.
pub(super) fn exact(canonical: &str, scale: u16) -> Option<Decimal> {
    match floor(canonical, scale) {
        Floor::At { number, is_exact: true } => Some(Decimal { unscaled: number, scale }),
        _ => None,
    }
}

fn is_json_number(text: &str) -> bool {
    !text.contains(char::is_whitespace) && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(operator: Operator, text: &str) -> Compared {
        read(FieldKind::Integer, operator, text)
    }

    fn whole(operator: Operator, number: i64) -> Compared {
        Compared::As(operator.with(Value::Integer(number)))
    }

    #[test]
    fn numbers_are_moved_onto_the_grid_of_the_field() {
        use Operator::{Above, AtLeast, AtMost, Below, Equal};
        assert_eq!(integer(Equal, "5.0"), whole(Equal, 5));
        assert_eq!(integer(Equal, "5.5"), Compared::Never);
        assert_eq!(integer(AtLeast, "5.5"), whole(Above, 5));
        assert_eq!(integer(Above, "-5.5"), whole(Above, -6));
        assert_eq!(integer(Below, "5.5"), whole(AtMost, 5));
        assert_eq!(integer(AtMost, "-5.5"), whole(AtMost, -6));
        let decimal = |operator, text| read(FieldKind::Decimal { precision: 5, scale: 2 }, operator, text);
        let hundredths =
            |operator: Operator, unscaled| Compared::As(operator.with(Value::Decimal(Decimal { unscaled, scale: 2 })));
        assert_eq!(decimal(Equal, "1.50"), hundredths(Equal, 150));
        assert_eq!(decimal(Equal, "1.505"), Compared::Never);
        assert_eq!(decimal(Below, "1.505"), hundredths(AtMost, 150));
        assert_eq!(decimal(AtMost, "1e9"), hundredths(AtMost, 99_999));
        assert_eq!(decimal(AtLeast, "1e9"), Compared::Never);
    }

    #[test]
    fn a_bound_beyond_the_field_takes_in_all_or_nothing() {
        use Operator::{Above, AtLeast, AtMost, Below, Equal};
        for far in ["9223372036854775808", "1e50"] {
            assert_eq!(integer(Equal, far), Compared::Never);
            assert_eq!(integer(AtLeast, far), Compared::Never);
            assert_eq!(integer(Below, far), whole(AtMost, i64::MAX));
        }
        for far in ["-9223372036854775809", "-1e50"] {
            assert_eq!(integer(Above, far), whole(AtLeast, i64::MIN));
            assert_eq!(integer(AtMost, far), Compared::Never);
        }
        assert_eq!(integer(Equal, "1e400"), Compared::Never);
        assert!(matches!(integer(AtMost, "1e400"), Compared::Malformed(_)));
        assert!(matches!(integer(Equal, "five"), Compared::Malformed(_)));
    }

    #[test]
    fn descriptors_are_asked_for_whole_or_by_code() {
        let asked = |text| read(FieldKind::Descriptor, Operator::Equal, text);
        assert_eq!(asked("uri://A#Tenth"), Compared::As(Comparison::Uri("uri://a#tenth".to_owned())));
        assert_eq!(asked("Tenth Grade"), Compared::As(Comparison::Code("tenth grade".to_owned())));
    }

    #[test]
    fn what_no_document_can_have_is_no_error() {
        assert_eq!(read(FieldKind::Id, Operator::Equal, "no uuid"), Compared::Never);
        assert!(matches!(read(FieldKind::Date, Operator::Below, "2031-02-30"), Compared::Malformed(_)));
        assert!(matches!(read(FieldKind::Boolean, Operator::Equal, "1"), Compared::Malformed(_)));
    }
}
