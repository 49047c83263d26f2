//! Canonical JSON (docs/design/edfi-schema.md#edfi-3.1): the input of a project's fingerprint.
//!
//! Keys are sorted by UTF-16 code unit, nothing is indented, numbers keep their source text, and strings are escaped
//! like .NET's relaxed JSON encoder. Upstream computes its hashes from the same bytes; one byte of difference changes
//! the hash.

use super::source::Source;
use std::cmp::Ordering;
use unicode_general_category::{GeneralCategory, get_general_category};

/// Appends the canonical form of a value.
pub(super) fn write(out: &mut Vec<u8>, value: &Source<'_>) {
    match value {
        Source::Literal(literal) => out.extend_from_slice(literal.as_bytes()),
        Source::Text(text) => write_string(out, text),
        Source::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(out, item);
            }
            out.push(b']');
        }
        Source::Object(_) => write_object(out, value, None, &mut |out, _, value| write(out, value)),
    }
}

/// Appends an object without the member `left_out`; `member(out, key, value)` writes its values. Any other value is
/// written unchanged.
pub(super) fn write_object(
    out: &mut Vec<u8>,
    value: &Source<'_>,
    left_out: Option<&str>,
    member: &mut dyn FnMut(&mut Vec<u8>, &str, &Source<'_>),
) {
    let Source::Object(members) = value else { return write(out, value) };
    let mut sorted: Vec<_> = members.iter().filter(|(key, _)| left_out != Some(key.as_ref())).collect();
    sorted.sort_by(|a, b| ordinal(&a.0, &b.0));
    out.push(b'{');
    for (at, (key, value)) in sorted.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_string(out, key);
        out.push(b':');
        member(out, key, value);
    }
    out.push(b'}');
}

/// Compares by UTF-16 code unit, like .NET's ordinal comparison. This differs from the order of code points between
/// characters beyond the basic plane and those above the surrogates.
pub(super) fn ordinal(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut plain_from = 0;
    for (at, c) in text.char_indices() {
        if !needs_escape(c) {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[plain_from..at]);
        write_escaped(out, c);
        plain_from = at + c.len_utf8();
    }
    out.extend_from_slice(&text.as_bytes()[plain_from..]);
    out.push(b'"');
}

/// Returns whether a character is escaped: every character that is not a defined, printable one of the basic plane, and
/// the two that JSON requires.
fn needs_escape(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, '"' | '\\') || c.is_ascii_control();
    }
    u32::from(c) > 0xFFFF
        || matches!(
            get_general_category(c),
            GeneralCategory::Control
                | GeneralCategory::PrivateUse
                | GeneralCategory::Surrogate
                | GeneralCategory::Unassigned
                | GeneralCategory::SpaceSeparator
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
}

fn write_escaped(out: &mut Vec<u8>, c: char) {
    let short: &[u8] = match c {
        '"' => b"\\\"",
        '\\' => b"\\\\",
        '\n' => b"\\n",
        '\r' => b"\\r",
        '\t' => b"\\t",
        '\u{8}' => b"\\b",
        '\u{c}' => b"\\f",
        _ => {
            let mut units = [0u16; 2];
            for unit in c.encode_utf16(&mut units) {
                out.extend_from_slice(format!("\\u{unit:04X}").as_bytes());
            }
            return;
        }
    };
    out.extend_from_slice(short);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> String {
        let value = crate::apischema::source::read(json).expect("test JSON parses");
        let mut out = Vec::new();
        write(&mut out, &value);
        String::from_utf8(out).expect("canonical JSON is UTF-8")
    }

    #[test]
    fn keys_are_sorted_by_utf16_code_unit() {
        assert_eq!(
            canonical(r#"{"b":1,"a":{"d":[3, 2],"C":null},"B":true}"#),
            r#"{"B":true,"a":{"C":null,"d":[3,2]},"b":1}"#
        );
        // U+10000 is D800 DC00 in UTF-16 and so comes before U+FF21.
        assert_eq!(canonical("{\"\u{ff21}\":1,\"\u{10000}\":2}"), "{\"\\uD800\\uDC00\":2,\"\u{ff21}\":1}");
    }

    #[test]
    fn numbers_keep_their_source_text() {
        let same = "[10.50,1E3,1e+3,-0,0.000,12345678901234567890123456789012345]";
        assert_eq!(canonical(same), same);
    }

    #[test]
    fn strings_are_escaped_as_dotnet_relaxed_does() {
        assert_eq!(canonical(r#""\"\\\n\r\t\b\f\u0001\u007f""#), r#""\"\\\n\r\t\b\f\u0001\u007F""#);
        assert_eq!(canonical(r#""\/<>&'+é日""#), r#""/<>&'+é日""#);
        assert_eq!(
            canonical(r#""\u00a0\u2003\u2028\u2029\ue000\ufffe😀""#),
            r#""\u00A0\u2003\u2028\u2029\uE000\uFFFE\uD83D\uDE00""#
        );
        // A soft hyphen is a format character: defined, so it is not escaped.
        assert_eq!(canonical(r#""\u00ad""#), "\"\u{ad}\"");
    }
}
