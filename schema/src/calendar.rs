//! Parsers of dates, times and date-times, shared by bodies and queries (docs/design/rules.md#rule-26).
//!
//! A [`jiff::Timestamp`] cannot hold the last day of the year 9999, and clients write its last second for "without
//! end". Date-times are therefore [`DateTime`]s in UTC.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};

/// Parses a date-time as a second of UTC within the years 0001 to 9999. Accepts a date (also with slashes), `T` or a
/// blank, a time, an optional fraction of a second (truncated), and an optional offset (default UTC). Refuses leap
/// seconds.
pub fn read_utc_second(text: &str) -> Option<DateTime> {
    let split = text.find(['T', 't', ' '])?;
    let (day, rest) = (&text[..split], &text[split + 1..]);
    let day = read_date(day).or_else(|| read_slashed_date(day))?;
    let offset_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, offset) = rest.split_at(offset_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let local = DateTime::from_parts(day, read_time(clock)?);
    let utc = local.checked_sub(read_offset(offset)?).ok()?;
    (1..=9999).contains(&utc.year()).then_some(utc)
}

/// Formats a date-time as `yyyy-MM-ddTHH:mm:ssZ`, the form in stored bodies.
pub fn write_utc_second(utc: DateTime) -> String {
    utc.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Parses a date in the form `yyyy-MM-dd`, with a year from 0001 to 9999.
pub fn read_date(text: &str) -> Option<Date> {
    let [year, month, day] = parts(text, '-')?;
    date_of(digits(year, 4)?, digits(month, 2)?, digits(day, 2)?)
}

/// Parses a date in the form `M/d/yyyy`, the only accepted form with slashes.
pub fn read_slashed_date(text: &str) -> Option<Date> {
    let [month, day, year] = parts(text, '/')?;
    let short = |part: &str| (1..=2).contains(&part.len()).then(|| digits(part, part.len()))?;
    date_of(digits(year, 4)?, short(month)?, short(day)?)
}

/// Parses a time in the form `HH:mm:ss`; no other form is accepted.
pub fn read_time(text: &str) -> Option<Time> {
    let [hour, minute, second] = parts(text, ':')?;
    let two = |part| digits(part, 2).and_then(|number| i8::try_from(number).ok());
    Time::new(two(hour)?, two(minute)?, two(second)?, 0).ok()
}

fn date_of(year: i16, month: i16, day: i16) -> Option<Date> {
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    (year >= 1).then_some(date)
}

/// Parses an offset: empty (UTC), `Z`, or `+HH:mm` or `-HH:mm` with at most 14 hours.
fn read_offset(text: &str) -> Option<SignedDuration> {
    if matches!(text, "" | "Z" | "z") {
        return Some(SignedDuration::ZERO);
    }
    let (sign, offset) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, minutes) = offset.split_once(':')?;
    let (hours, minutes) = (i64::from(digits(hours, 2)?), i64::from(digits(minutes, 2)?));
    (hours <= 14 && minutes <= 59).then(|| SignedDuration::from_secs(sign * (hours * 3600 + minutes * 60)))
}

fn parts(text: &str, separator: char) -> Option<[&str; 3]> {
    let mut parts = text.split(separator);
    let three = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(three)
}

fn digits(text: &str, count: usize) -> Option<i16> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn date_times_become_utc_seconds() {
        for (text, expected) in [
            ("2031-08-20T09:15:00Z", "2031-08-20T09:15:00Z"),
            ("2031-08-20t09:15:00z", "2031-08-20T09:15:00Z"),
            ("2031-08-20 09:15:00", "2031-08-20T09:15:00Z"),
            ("8/20/2031 09:15:00", "2031-08-20T09:15:00Z"),
            ("2031-08-20T09:15:00.999999999999+05:30", "2031-08-20T03:45:00Z"),
            ("2031-12-31T20:00:00-14:00", "2032-01-01T10:00:00Z"),
            ("1969-12-31T23:59:59.9", "1969-12-31T23:59:59Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            ("9999-12-31T23:59:59+02:00", "9999-12-31T21:59:59Z"),
        ] {
            assert_eq!(read_utc_second(text).map(write_utc_second).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn invalid_date_times_are_refused() {
        for text in [
            "",
            "2031-08-20",
            "2031-08-20T",
            "2031-08-20T09:15Z",
            "2031-08-20T09:15:60Z",
            "2031-08-20T24:00:00Z",
            "2031-02-29T09:15:00Z",
            "2031-08-20T09:15:00.Z",
            "2031-08-20T09:15:00Zx",
            "2031-08-20T09:15:00Z05:00",
            "2031-08-20T09:15:00Z[UTC]",
            "2031-08-20T09:15:00+0100",
            "2031-08-20T09:15:00+15:00",
            "2031-08-20T09:15:00+é1:00",
            "2031-08-20T09:15:00é",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
        ] {
            assert_eq!(read_utc_second(text), None, "{text}");
        }
    }

    #[test]
    fn dates_and_times_have_one_form_each() {
        assert_eq!(read_date("9999-12-31"), Some(date(9999, 12, 31)));
        assert_eq!(read_slashed_date("2/8/2031"), read_date("2031-02-08"));
        for text in ["2031-2-8", "2031/02/08", "0000-01-01", "10000-01-01", "2031-02-29", "2031-02-08-", "+031-02-08"] {
            assert_eq!(read_date(text), None, "{text}");
        }
        for text in ["15:04", "15:04:05Z", "15:04:60", "24:00:00", "5:04:05", "15:04:05.5", "15:04:05:06"] {
            assert_eq!(read_time(text), None, "{text}");
        }
    }
}
