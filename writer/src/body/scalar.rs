//! Scalars: what a client may send for each storage type, and the one canonical form that is stored and hashed.

use jiff::civil::{Date, DateTime, Time};
use jiff::{Timestamp, tz::TimeZone};
use millstream_schema::plan::ColumnType;
use millstream_schema::referential::canonical_number;
use serde_json::{Number, Value};

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
    Timestamp(Timestamp),
}

impl Scalar {
    /// The text that is hashed into ReferentialIds and kept in `IdentityValues` (facts 2.4).
    pub(crate) fn canonical(&self) -> String {
        match self {
            Self::Text(text) | Self::Decimal(text) => text.clone(),
            Self::Int4(number) => number.to_string(),
            Self::Int8(number) => number.to_string(),
            Self::Bool(flag) => flag.to_string(),
            Self::Date(date) => date.to_string(),
            Self::Time(time) => format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second()),
            Self::Timestamp(at) => at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }
    }
}

/// Rewrites a value in place to the JSON type of its column where the meaning is clear (facts 6.1.2): text to numbers and
/// booleans, `5.0` to `5`, slashed dates to ISO, date-times to UTC seconds. Anything else is left for validation to refuse.
pub(crate) fn coerce(value: &mut Value, ty: ColumnType) {
    let coerced = match (ty, &*value) {
        (ColumnType::Bool, Value::String(text)) if text.eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
        (ColumnType::Bool, Value::String(text)) if text.eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
        (ColumnType::Int4 | ColumnType::Int8 | ColumnType::Decimal { .. }, Value::String(text)) => number(text.trim()),
        (ColumnType::Int4 | ColumnType::Int8, Value::Number(text)) => number(text.as_str()),
        (ColumnType::Date, Value::String(text)) => slashed_date(text).map(|date| Value::String(date.to_string())),
        (ColumnType::Timestamp, Value::String(text)) => {
            timestamp(text).map(|at| Value::String(Scalar::Timestamp(at).canonical()))
        }
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

/// Reads a coerced value; the message of a refusal is for the client.
pub(crate) fn read(value: &Value, ty: ColumnType) -> Result<Scalar, String> {
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
        (ColumnType::Date, Value::String(text)) => {
            iso_date(text).map(Scalar::Date).ok_or_else(|| format!("'{text}' is not a valid date (yyyy-MM-dd)."))
        }
        (ColumnType::Time, Value::String(text)) => {
            time(text).map(Scalar::Time).ok_or_else(|| format!("'{text}' is not a valid time (HH:mm:ss)."))
        }
        (ColumnType::Timestamp, Value::String(text)) => timestamp(text)
            .map(Scalar::Timestamp)
            .ok_or_else(|| format!("'{text}' is not a valid date-time (yyyy-MM-ddTHH:mm:ssZ).")),
        (ColumnType::Document | ColumnType::Descriptor, _) | (_, _) => Err("has the wrong JSON type.".to_owned()),
    }
}

fn integer(number: &Number, min: i64, max: i64) -> Result<i64, String> {
    let refusal = || format!("{} is not an integer between {min} and {max}.", shown(number));
    let canonical = canonical_number(number.as_str()).ok_or_else(refusal)?;
    canonical.parse::<i64>().ok().filter(|n| (min..=max).contains(n)).ok_or_else(refusal)
}

/// Digits of a decimal are checked, never rounded away (`rules.md` 26).
fn decimal(number: &Number, precision: u16, scale: u16) -> Result<Scalar, String> {
    let refusal =
        || format!("{} must have at most {precision} digits, {scale} of them after the decimal point.", shown(number));
    let canonical = canonical_number(number.as_str()).ok_or_else(refusal)?;
    let digits = canonical.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0').len();
    let fits = fraction.len() <= usize::from(scale) && whole <= usize::from(precision.saturating_sub(scale));
    if fits { Ok(Scalar::Decimal(canonical)) } else { Err(refusal()) }
}

/// A hostile number can be a megabyte of digits: messages show its beginning.
fn shown(number: &Number) -> String {
    let text = number.as_str();
    if text.len() <= 40 { text.to_owned() } else { format!("{}…", &text[..40]) }
}

fn digits(text: &str, count: usize) -> Option<i16> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// `yyyy-MM-dd`, years 0001 to 9999.
fn iso_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let year = digits(year, 4).filter(|year| *year >= 1)?;
    Date::new(year, i8::try_from(digits(month, 2)?).ok()?, i8::try_from(digits(day, 2)?).ok()?).ok()
}

/// `M/d/yyyy`, the only form with slashes.
fn slashed_date(text: &str) -> Option<Date> {
    let mut parts = text.split('/');
    let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let short = |part: &str| (1..=2).contains(&part.len()).then(|| digits(part, part.len()))?;
    let year = digits(year, 4).filter(|year| *year >= 1)?;
    Date::new(year, i8::try_from(short(month)?).ok()?, i8::try_from(short(day)?).ok()?).ok()
}

/// `HH:mm:ss`, nothing more.
fn time(text: &str) -> Option<Time> {
    let mut parts = text.split(':');
    let mut next = || parts.next().and_then(|part| digits(part, 2)).and_then(|n| i8::try_from(n).ok());
    let (hour, minute, second) = (next()?, next()?, next()?);
    if parts.next().is_some() {
        return None;
    }
    Time::new(hour, minute, second, 0).ok()
}

/// Date and time with `T` or a blank between, any fraction (truncated), an offset or none (UTC). Slashed dates too. The
/// instant must lie in the years 0001 to 9999.
fn timestamp(text: &str) -> Option<Timestamp> {
    let split = text.find(['T', 't', ' '])?;
    let (date, rest) = (&text[..split], &text[split + 1..]);
    let date = iso_date(date).or_else(|| slashed_date(date))?;
    let offset_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, offset) = (&rest[..offset_at], &rest[offset_at..]);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let local = DateTime::from_parts(date, time(clock)?);
    let at = local.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second().checked_sub(offset_seconds(offset)?)?;
    let at = Timestamp::from_second(at).ok()?;
    let year = at.to_zoned(TimeZone::UTC).year();
    (1..=9999).contains(&year).then_some(at)
}

fn offset_seconds(offset: &str) -> Option<i64> {
    if matches!(offset, "" | "Z" | "z") {
        return Some(0);
    }
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = offset[1..].split_once(':')?;
    let (hours, minutes) = (i64::from(digits(hours, 2)?), i64::from(digits(minutes, 2)?));
    (hours <= 14 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn coerced(mut value: Value, ty: ColumnType) -> Result<String, String> {
        coerce(&mut value, ty);
        read(&value, ty).map(|scalar| scalar.canonical())
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
            (json!("2031-02-08T10:00:60Z"), None),
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
    fn times_and_texts() {
        check(
            ColumnType::Time,
            &[(json!("15:04:05"), Some("15:04:05")), (json!("15:04"), None), (json!("15:04:05Z"), None)],
        );
        check(ColumnType::Text, &[(json!("a"), Some("a")), (json!("a\0"), None), (json!(1), None)]);
        check(ColumnType::Bool, &[(json!("True"), Some("true")), (json!(1), None)]);
    }
}
