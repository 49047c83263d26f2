//! Entity tags: `If-Match`, `If-None-Match` and the `ETag` of a response.
//!
//! A tag is a version in quotes. Weak tags are treated as strong ones, because a version identifies exactly one body.
//! Clients may omit the quotes (docs/design/edfi-api.md#edfi-6.6).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use millstream_writer::{EtagMatch, Preconditions};

/// Returns the `ETag` header of a version.
pub(crate) fn etag(version: i64) -> HeaderValue {
    // Digits in quotes are always a valid header value; the fallback is never used.
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from(version))
}

/// Reads the conditions of a request.
pub(crate) fn preconditions(headers: &HeaderMap) -> Preconditions {
    Preconditions {
        if_match: entity_tags(headers, &header::IF_MATCH),
        if_none_match: entity_tags(headers, &header::IF_NONE_MATCH),
    }
}

/// Reads the tags of all headers of one name; `None` without such a header. A tag that is not a version matches no
/// document and is dropped.
fn entity_tags(headers: &HeaderMap, name: &HeaderName) -> Option<EtagMatch> {
    let mut versions = Vec::new();
    let mut is_present = false;
    for value in headers.get_all(name) {
        is_present = true;
        for tag in Tags(value.as_bytes()) {
            if tag == b"*" {
                return Some(EtagMatch::Any);
            }
            versions.extend(version_of(tag));
        }
    }
    is_present.then_some(EtagMatch::Versions(versions))
}

/// Parses a tag as a version. Tags compare as text, so `007` is not version 7.
fn version_of(tag: &[u8]) -> Option<i64> {
    let is_canonical =
        tag.first().is_some_and(|first| (b'1'..=b'9').contains(first)) && tag.iter().all(u8::is_ascii_digit);
    if !is_canonical {
        return None;
    }
    std::str::from_utf8(tag).ok()?.parse().ok()
}

/// Iterator over the tags of a list, without `W/` and quotes. A comma inside quotes belongs to the tag.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let mut rest = &self.0[start..];
        rest = rest.strip_prefix(b"W/").unwrap_or(rest);
        let (tag, rest) = match rest.strip_prefix(b"\"") {
            Some(quoted) => split_at(quoted, b'"'),
            None => split_at(rest, b','),
        };
        self.0 = rest;
        Some(tag.trim_ascii())
    }
}

/// Splits at the first occurrence of `byte`, which is in neither part.
fn split_at(text: &[u8], byte: u8) -> (&[u8], &[u8]) {
    match text.iter().position(|other| *other == byte) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn if_match(values: &[&str]) -> Option<EtagMatch> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, HeaderValue::from_str(value).unwrap());
        }
        preconditions(&headers).if_match
    }

    #[test]
    fn tags_are_read_in_every_spelling() {
        for (text, versions) in [
            (r#""12""#, vec![12]),
            (r#"W/"12""#, vec![12]),
            ("12", vec![12]),
            (" 12 ", vec![12]),
            (r#""12","13" , W/"14",15"#, vec![12, 13, 14, 15]),
            (r#",,"12",,"#, vec![12]),
            (r#""a,12,b", "13""#, vec![13]),
            (r#""9223372036854775807""#, vec![i64::MAX]),
        ] {
            assert_eq!(if_match(&[text]), Some(EtagMatch::Versions(versions)), "{text}");
        }
        assert_eq!(if_match(&[r#""1""#, r#""2""#]), Some(EtagMatch::Versions(vec![1, 2])));
    }

    #[test]
    fn a_star_names_any_document() {
        for text in ["*", " * ", r#""1", *"#] {
            assert_eq!(if_match(&[text]), Some(EtagMatch::Any), "{text}");
        }
    }

    #[test]
    fn a_condition_that_no_version_meets_is_not_a_missing_one() {
        for text in ["", "abc", r#""12-abc""#, "007", "-7", "+7", r#""9223372036854775808""#, r#"""#] {
            assert_eq!(if_match(&[text]), Some(EtagMatch::Versions(Vec::new())), "{text}");
        }
        assert_eq!(if_match(&[]), None);
    }
}
