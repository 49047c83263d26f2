//! Scalars: the spellings that a client may use for each storage type, and the one canonical form that is stored and
//! hashed.

use super::findings::ProblemMessage;
use jiff::civil::{Date, Time};
use millstream_schema::plan::ColumnType;
use millstream_schema::referential::canonical_number;
use millstream_store::calendar::{UtcSecond, read_date, read_slashed_date, read_time};
use serde_json::{Number, Value};

/// Maximum number of characters of a value that a message repeats.
const SHOWN_MAX_CHARS: usize = 40;

/// A scalar in its storage form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Text(String),
    Int4(i32),
    Int8(i64),
    /// Canonical text.
    Decimal(String),
    Bool(bool),
    Date(Date),
    Time(Time),
    Timestamp(UtcSecond),
}

impl Scalar {
    /// The text that is hashed into ReferentialIds and kept in `IdentityValues`
    /// (docs/design/edfi-identity.md#edfi-2.4).
    pub(crate) fn canonical(&self) -> String {
        match self {
            Self::Text(text) | Self::Decimal(text) => text.clone(),
            Self::Int4(number) => number.to_string(),
            Self::Int8(number) => number.to_string(),
            Self::Bool(flag) => flag.to_string(),
            Self::Date(date) => date.to_string(),
            Self::Time(time) => format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second()),
            Self::Timestamp(at) => at.to_string(),
        }
    }
}

/// Rewrites a value in place to the JSON type of its column where the meaning is clear
/// (docs/design/edfi-api.md#edfi-6.1): text to numbers and
/// booleans, `5.0` to `5`, slashed dates to ISO, date-times to UTC seconds. Validation refuses anything else.
pub(crate) fn coerce(value: &mut Value, ty: ColumnType) {
    let coerced = match (ty, &*value) {
        (ColumnType::Bool, Value::String(text)) if text.eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
        (ColumnType::Bool, Value::String(text)) if text.eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
        (ColumnType::Int4 | ColumnType::Int8 | ColumnType::Decimal { .. }, Value::String(text)) => number(text.trim()),
        (ColumnType::Int4 | ColumnType::Int8, Value::Number(text)) => number(text.as_str()),
        (ColumnType::Date, Value::String(text)) => read_slashed_date(text).map(|date| Value::String(date.to_string())),
        (ColumnType::Timestamp, Value::String(text)) => UtcSecond::read(text).map(|at| Value::String(at.to_string())),
        _ => None,
    };
    if let Some(coerced) = coerced {
        *value = coerced;
    }
}

fn number(text: &str) -> Option<Value> {
    let canonical = canonical_number(text)?;
    Some(Value::Number(canonical.parse::<Number>().ok()?))
}

/// Parses a coerced value.
pub(crate) fn read(value: &Value, ty: ColumnType) -> Result<Scalar, ProblemMessage> {
    parse(value, ty).map_err(ProblemMessage)
}

fn parse(value: &Value, ty: ColumnType) -> Result<Scalar, String> {
    match (ty, value) {
        (ColumnType::Text, Value::String(text)) => match text.contains('\0') {
            true => Err("cannot contain the character U+0000.".to_owned()),
            false => Ok(Scalar::Text(text.clone())),
        },
        (ColumnType::Bool, Value::Bool(flag)) => Ok(Scalar::Bool(*flag)),
        (ColumnType::Int4, Value::Number(number)) => integer(number, i32::MIN.into(), i32::MAX.into())
            .and_then(|n| i32::try_from(n).map(Scalar::Int4).map_err(|error| error.to_string())),
        (ColumnType::Int8, Value::Number(number)) => integer(number, i64::MIN, i64::MAX).map(Scalar::Int8),
        (ColumnType::Decimal { precision, scale }, Value::Number(number)) => decimal(number, precision, scale),
        (ColumnType::Date, Value::String(text)) => read_date(text)
            .map(Scalar::Date)
            .ok_or_else(|| format!("'{}' is not a valid date (yyyy-MM-dd).", shown(text))),
        (ColumnType::Time, Value::String(text)) => read_time(text)
            .map(Scalar::Time)
            .ok_or_else(|| format!("'{}' is not a valid time (HH:mm:ss).", shown(text))),
        (ColumnType::Timestamp, Value::String(text)) => UtcSecond::read(text)
            .map(Scalar::Timestamp)
            .ok_or_else(|| format!("'{}' is not a valid date-time (yyyy-MM-ddTHH:mm:ssZ).", shown(text))),
        (ColumnType::Document | ColumnType::Descriptor, _) | (_, _) => Err("has the wrong JSON type.".to_owned()),
    }
}

fn integer(number: &Number, min: i64, max: i64) -> Result<i64, String> {
    let refusal = || format!("{} is not an integer between {min} and {max}.", shown(number.as_str()));
    let canonical = canonical_number(number.as_str()).ok_or_else(refusal)?;
    canonical.parse::<i64>().ok().filter(|n| (min..=max).contains(n)).ok_or_else(refusal)
}

/// Checks the digits of a decimal and never rounds (docs/design/rules.md#rule-26).
fn decimal(number: &Number, precision: u16, scale: u16) -> Result<Scalar, String> {
    let refusal = || {
        format!(
            "{} must have at most {precision} digits, {scale} of them after the decimal point.",
            shown(number.as_str())
        )
    };
    let canonical = canonical_number(number.as_str()).ok_or_else(refusal)?;
    let digits = canonical.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0').len();
    let fits = fraction.len() <= usize::from(scale) && whole <= usize::from(precision.saturating_sub(scale));
    if fits { Ok(Scalar::Decimal(canonical)) } else { Err(refusal()) }
}

/// The beginning of a value: a hostile number can be a megabyte of digits.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn coerced(mut value: Value, ty: ColumnType) -> Result<String, String> {
        coerce(&mut value, ty);
        parse(&value, ty).map(|scalar| scalar.canonical())
    }

    #[track_caller]
    fn check(ty: ColumnType, cases: &[(Value, Option<&str>)]) {
        for (value, expected) in cases {
            let result = coerced(value.clone(), ty);
            assert_eq!(result.as_deref().ok(), *expected, "{value} as {ty:?} gave {result:?}");
        }
    }

    #[test]
    fn dates_are_iso_or_month_day_year() {
        let cases = [
            (json!("2031-02-28"), Some("2031-02-28")),
            (json!("2/8/2031"), Some("2031-02-08")),
            (json!("2031-02-29"), None),
            (json!("0000-01-01"), None),
            (json!("2031/02/08"), None),
            (json!("2031-2-8"), None),
        ];
        check(ColumnType::Date, &cases);
    }

    #[test]
    fn date_times_become_utc_seconds() {
        let cases = [
            (json!("2031-02-08T10:00:00"), Some("2031-02-08T10:00:00Z")),
            (json!("2031-02-08T10:00:00.999-05:00"), Some("2031-02-08T15:00:00Z")),
            (json!("2/8/2031 10:00:00"), Some("2031-02-08T10:00:00Z")),
            (json!("9999-12-31T23:59:59Z"), Some("9999-12-31T23:59:59Z")),
            (json!("2031-02-08T10:00:60Z"), None),
            (json!("2031-02-08T10:00:00Z05:00"), None),
            (json!("0001-01-01T00:00:00+01:00"), None),
            (json!("2031-02-08"), None),
        ];
        check(ColumnType::Timestamp, &cases);
    }

    #[test]
    fn numbers_are_exact_or_refused() {
        let cases = [
            (json!(5.0), Some("5")),
            (json!("7"), Some("7")),
            (json!(5.5), None),
            (json!(2_147_483_648_i64), None),
            (json!(true), None),
        ];
        check(ColumnType::Int4, &cases);
        let decimal = ColumnType::Decimal { precision: 5, scale: 2 };
        let cases =
            [(json!(999.99), Some("999.99")), (json!("1.50"), Some("1.5")), (json!(1.234), None), (json!(1000), None)];
        check(decimal, &cases);
        let huge: Value = serde_json::from_str("1e999999999").expect("JSON");
        check(decimal, &[(huge, None)]);
    }

    #[test]
    fn messages_repeat_the_beginning_of_a_value() {
        for (ty, value) in [
            (ColumnType::Date, json!("é".repeat(5_000))),
            (ColumnType::Time, json!("x".repeat(5_000))),
            (ColumnType::Timestamp, json!("9".repeat(5_000))),
            (ColumnType::Int8, serde_json::from_str(&"9".repeat(5_000)).expect("JSON")),
        ] {
            let message = parse(&value, ty).expect_err("it is not of the type");
            assert!(message.chars().count() < 200, "{message}");
        }
    }

    #[test]
    fn times_and_texts() {
        check(
            ColumnType::Time,
            &[(json!("15:04:05"), Some("15:04:05")), (json!("15:04"), None), (json!("15:04:05Z"), None)],
        );
        check(ColumnType::Text, &[(json!("a"), Some("a")), (json!("a\0"), None), (json!(1), None)]);
        check(ColumnType::Bool, &[(json!("True"), Some("true")), (json!(1), None)]);
    }
}
