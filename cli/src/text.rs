//! Texts for people.

use std::fmt::Write as _;

/// Returns a number with a comma between groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        // Writing to a string cannot fail.
        _ = text.write_char(digit);
    }
    text
}

/// Returns a time since 1970 UTC in RFC 3339 with whole seconds; `-` if it is out of range.
pub(crate) fn moment(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|at_ms| jiff::Timestamp::from_millisecond(at_ms).ok());
    at.map_or_else(|| "-".to_owned(), millstream_store::compose::whole_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_threes() {
        let pairs = [(0, "0"), (999, "999"), (1_000, "1,000"), (26_255, "26,255"), (1_234_567, "1,234,567")];
        for (number, text) in pairs {
            assert_eq!(grouped(number), text);
        }
    }
}
