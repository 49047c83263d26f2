//! One line of an input: which resource, and the body as it stands.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt, sync::Arc};

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The input's name.
    pub(crate) input: Arc<str>,
    /// Counted from 1.
    pub(crate) line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.input, self.line)
    }
}

/// A line that can be posted.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) place: Place,
    /// Project endpoint name, as in the URL.
    pub(crate) project: String,
    /// Resource endpoint name, as in the URL.
    pub(crate) resource: String,
    /// The body, byte for byte.
    pub(crate) body: Bytes,
}

/// A line that cannot be posted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadLine {
    pub(crate) place: Place,
    pub(crate) reason: String,
    /// The line as it stands; none if it is too long to keep.
    pub(crate) text: Option<String>,
}

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    resource: Cow<'a, str>,
    #[serde(borrow)]
    project: Cow<'a, str>,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl Line {
    /// Takes a line apart. The body is only checked for being JSON: judging it is the server's.
    pub(crate) fn parse(place: Place, text: &[u8]) -> Result<Self, BadLine> {
        let refuse = |reason: String| BadLine {
            place: place.clone(),
            reason,
            text: Some(String::from_utf8_lossy(text.trim_ascii_end()).into_owned()),
        };
        let written: Written<'_> = serde_json::from_slice(text)
            .map_err(|error| refuse(format!("this is not {{\"resource\", \"project\", \"body\"}}: {error}")))?;
        for (name, value) in [("resource", &written.resource), ("project", &written.project)] {
            if value.is_empty() || value.contains(['/', '?', '#']) {
                return Err(refuse(format!("'{value}' is no endpoint name of a {name}")));
            }
        }
        let body = Bytes::copy_from_slice(written.body.get().as_bytes());
        Ok(Self { project: written.project.into_owned(), resource: written.resource.into_owned(), body, place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Line, BadLine> {
        Line::parse(Place { input: "f".into(), line: 3 }, text.as_bytes())
    }

    #[test]
    fn the_body_is_kept_byte_for_byte() {
        let line =
            parse(r#"{"project":"ed-fi","source":"x","resource":"schools","body":{"a": 1.50 ,"a":2}}"#).expect("good");
        assert_eq!((line.project.as_str(), line.resource.as_str()), ("ed-fi", "schools"));
        assert_eq!(line.body.as_ref(), br#"{"a": 1.50 ,"a":2}"#);
    }

    #[test]
    fn what_is_no_such_line_says_why_and_where() {
        for text in ["", "[]", "{\"resource\":\"a\"}", "{\"resource\":\"a/b\",\"project\":\"p\",\"body\":{}}", "{"] {
            let bad = parse(text).expect_err("it cannot be posted");
            assert_eq!(bad.place.to_string(), "f:3");
            assert!(!bad.reason.is_empty());
            assert_eq!(bad.text.as_deref(), Some(text));
        }
    }
}
