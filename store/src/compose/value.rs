//! Values: from PostgreSQL's binary format to canonical text and to JSON.

use millstream_schema::plan::ColumnType;

/// Days from 0000-03-01, the zero of the calendar arithmetic, to 2000-01-01, PostgreSQL's zero.
const DAYS_TO_2000: i64 = 730_425;

/// Days of 400 years.
const DAYS_PER_ERA: i64 = 146_097;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// The bytes are not a value of the column's type, or one that Ed-Fi's JSON cannot express (a date in the year 10000,
/// NaN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// Appends the canonical text of a value: the text hashed into ReferentialIds, and JSON without quotes and escapes.
///
/// Appends nothing if the value is unreadable.
pub(crate) fn write_text(out: &mut Vec<u8>, ty: ColumnType, raw: &[u8]) -> Result<(), Unreadable> {
    match ty {
        ColumnType::Text => out.extend_from_slice(std::str::from_utf8(raw).map_err(|_| Unreadable)?.as_bytes()),
        ColumnType::Int4 | ColumnType::Int8 | ColumnType::Document | ColumnType::Descriptor => {
            out.extend_from_slice(itoa::Buffer::new().format(integer(raw)?).as_bytes());
        }
        ColumnType::Decimal { .. } => out.extend_from_slice(decimal(raw)?),
        ColumnType::Bool => out.extend_from_slice(match raw {
            [0] => b"false",
            [1] => b"true",
            _ => return Err(Unreadable),
        }),
        ColumnType::Date => write_date(out, i64::from(i32::from_be_bytes(exactly(raw)?)))?,
        ColumnType::Time => write_time(out, i64::from_be_bytes(exactly(raw)?).div_euclid(MICROS_PER_SECOND))?,
        ColumnType::Timestamp => {
            let seconds = i64::from_be_bytes(exactly(raw)?).div_euclid(MICROS_PER_SECOND);
            write_date(out, seconds.div_euclid(SECONDS_PER_DAY))?;
            out.push(b'T');
            write_time(out, seconds.rem_euclid(SECONDS_PER_DAY))?;
            out.push(b'Z');
        }
    }
    Ok(())
}

/// Appends a value as JSON.
pub(crate) fn write_json(out: &mut Vec<u8>, ty: ColumnType, raw: &[u8]) -> Result<(), Unreadable> {
    match ty {
        ColumnType::Text => {
            write_string(out, std::str::from_utf8(raw).map_err(|_| Unreadable)?);
            Ok(())
        }
        ColumnType::Date | ColumnType::Time | ColumnType::Timestamp => {
            out.push(b'"');
            write_text(out, ty, raw)?;
            out.push(b'"');
            Ok(())
        }
        // A surrogate key never leaves the database.
        ColumnType::Document | ColumnType::Descriptor => Err(Unreadable),
        _ => write_text(out, ty, raw),
    }
}

/// Appends a value given as canonical text (from `IdentityValues`) as JSON.
pub(crate) fn write_canonical(out: &mut Vec<u8>, ty: ColumnType, text: &str) -> Result<(), Unreadable> {
    match ty {
        ColumnType::Int4 | ColumnType::Int8 | ColumnType::Decimal { .. } => {
            out.extend_from_slice(decimal(text.as_bytes())?);
        }
        ColumnType::Bool if text == "true" || text == "false" => out.extend_from_slice(text.as_bytes()),
        ColumnType::Bool | ColumnType::Document => return Err(Unreadable),
        ColumnType::Text | ColumnType::Date | ColumnType::Time | ColumnType::Timestamp | ColumnType::Descriptor => {
            write_string(out, text);
        }
    }
    Ok(())
}

/// Appends a JSON string, quoted and escaped.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    // Most texts need no escape; those that do go through serde_json.
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        let escaped = serde_json::Value::from(text).to_string();
        out.extend_from_slice(escaped.as_bytes());
    }
}

/// A whole number of 2, 4 or 8 bytes.
fn integer(raw: &[u8]) -> Result<i64, Unreadable> {
    match raw.len() {
        2 => Ok(i64::from(i16::from_be_bytes(exactly(raw)?))),
        4 => Ok(i64::from(i32::from_be_bytes(exactly(raw)?))),
        _ => Ok(i64::from_be_bytes(exactly(raw)?)),
    }
}

fn exactly<const N: usize>(raw: &[u8]) -> Result<[u8; N], Unreadable> {
    raw.try_into().map_err(|_| Unreadable)
}

/// The text of a `numeric` without trailing fraction zeros. Its digits are never turned into a float.
fn decimal(text: &[u8]) -> Result<&[u8], Unreadable> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = digits.split_at(point.unwrap_or(digits.len()));
    let fraction = fraction.strip_prefix(b".").unwrap_or(fraction);
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    if !is_number(whole) || (point.is_some() && !is_number(fraction)) {
        return Err(Unreadable);
    }
    let zeros = fraction.iter().rev().take_while(|byte| **byte == b'0').count();
    let cut = if zeros == fraction.len() && point.is_some() { zeros + 1 } else { zeros };
    Ok(&text[..text.len() - cut])
}

/// Appends `yyyy-MM-dd` of a day counted from 2000-01-01. Refuses years outside of 1 to 9999, PostgreSQL's "infinity"
/// included.
fn write_date(out: &mut Vec<u8>, day: i64) -> Result<(), Unreadable> {
    // Howard Hinnant's civil_from_days: years begin in March, so that the leap day is the last.
    let shifted = day + DAYS_TO_2000;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if !(1..=9_999).contains(&year) {
        return Err(Unreadable);
    }
    push_two(out, year / 100);
    push_two(out, year % 100);
    out.push(b'-');
    push_two(out, month);
    out.push(b'-');
    push_two(out, day_of_month);
    Ok(())
}

/// Appends `HH:mm:ss` of a second of the day (24:00:00 is a time to PostgreSQL, not to JSON).
fn write_time(out: &mut Vec<u8>, second: i64) -> Result<(), Unreadable> {
    if !(0..SECONDS_PER_DAY).contains(&second) {
        return Err(Unreadable);
    }
    push_two(out, second / 3_600);
    out.push(b':');
    push_two(out, second / 60 % 60);
    out.push(b':');
    push_two(out, second % 60);
    Ok(())
}

/// Appends a number below 100 as two digits.
fn push_two(out: &mut Vec<u8>, number: i64) {
    let digit = |n: i64| b'0' + u8::try_from(n % 10).unwrap_or(0);
    out.extend_from_slice(&[digit(number / 10), digit(number)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan;
    use jiff::civil::date;

    fn text(ty: ColumnType, raw: &[u8]) -> Option<String> {
        let mut out = Vec::new();
        write_text(&mut out, ty, raw).ok()?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn dates_agree_with_the_calendar() {
        let base = date(2000, 1, 1);
        let first = base.until(date(1, 1, 1)).unwrap().get_days();
        let last = base.until(date(9999, 12, 31)).unwrap().get_days();
        for day in (first..=last).step_by(97).chain([first, last, 0, 59, 60, -1]) {
            let expected = base.checked_add(day.days()).unwrap().to_string();
            assert_eq!(text(ColumnType::Date, &day.to_be_bytes()), Some(expected), "day {day}");
        }
        for outside in [first - 1, last + 1, i32::MIN, i32::MAX] {
            assert_eq!(text(ColumnType::Date, &outside.to_be_bytes()), None, "day {outside}");
        }
    }

    #[test]
    fn times_and_timestamps_are_whole_seconds_cut_off() {
        let micros = |h: i64, m: i64, s: i64, us: i64| ((h * 60 + m) * 60 + s) * MICROS_PER_SECOND + us;
        assert_eq!(text(ColumnType::Time, &micros(9, 5, 0, 0).to_be_bytes()).as_deref(), Some("09:05:00"));
        assert_eq!(text(ColumnType::Time, &micros(23, 59, 59, 999_999).to_be_bytes()).as_deref(), Some("23:59:59"));
        assert_eq!(text(ColumnType::Time, &micros(24, 0, 0, 0).to_be_bytes()), None);
        let stamp = |us: i64| text(ColumnType::Timestamp, &us.to_be_bytes());
        assert_eq!(stamp(0).as_deref(), Some("2000-01-01T00:00:00Z"));
        assert_eq!(stamp(-1).as_deref(), Some("1999-12-31T23:59:59Z"));
        assert_eq!(stamp(i64::MAX), None, "infinity");
    }

    #[test]
    fn decimals_lose_trailing_zeros_and_nothing_else() {
        let ty = ColumnType::Decimal { precision: 18, scale: 4 };
        for (stored, expected) in [
            ("1.5000", "1.5"),
            ("100.0000", "100"),
            ("100", "100"),
            ("-0.0100", "-0.01"),
            ("0.0000", "0"),
            ("12345678901234.5678", "12345678901234.5678"),
        ] {
            assert_eq!(text(ty, stored.as_bytes()).as_deref(), Some(expected), "{stored}");
        }
        for wrong in ["NaN", "Infinity", "", "-", "1.", ".5", "1e5", "1.2.3"] {
            assert_eq!(text(ty, wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn strings_are_escaped_as_json_demands() {
        for text in ["plain", "a \"quoted\" \\ word", "line\nbreak\u{1}", "Zoë \u{2028} 𝄞", ""] {
            let mut out = Vec::new();
            write_string(&mut out, text);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn a_text_that_is_no_number_never_becomes_one() {
        let mut out = Vec::new();
        assert_eq!(write_canonical(&mut out, ColumnType::Int4, "12,\"x\":1"), Err(Unreadable));
        assert_eq!(write_canonical(&mut out, ColumnType::Bool, "yes"), Err(Unreadable));
        assert!(out.is_empty());
        write_canonical(&mut out, ColumnType::Int4, "2031").unwrap();
        assert_eq!(out, b"2031");
    }
}
