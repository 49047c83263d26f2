//! One line of an input: the resource and the unchanged body.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt, sync::Arc};

/// The position of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinePosition {
    /// Name of the input.
    pub(crate) input: Arc<str>,
    /// Line number, counted from 1.
    pub(crate) line: u64,
}

impl fmt::Display for LinePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.input, self.line)
    }
}

/// A line that can be posted.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) position: LinePosition,
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
    pub(crate) position: LinePosition,
    pub(crate) reason: String,
    /// The line; `None` if it is too long to keep.
    pub(crate) text: Option<String>,
}

/// The members of a line that are read; others are ignored.
#[derive(Deserialize)]
struct LineMembers<'a> {
    #[serde(borrow)]
    resource: Cow<'a, str>,
    #[serde(borrow)]
    project: Cow<'a, str>,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl Line {
    /// Parses a line. The body has to be JSON; its content is checked by the server.
    pub(crate) fn parse(position: LinePosition, text: &[u8]) -> Result<Self, BadLine> {
        let refuse = |reason: String| BadLine {
            position: position.clone(),
            reason,
            text: Some(String::from_utf8_lossy(text.trim_ascii_end()).into_owned()),
        };
        let members: LineMembers<'_> = serde_json::from_slice(text)
            .map_err(|error| refuse(format!("expected {{\"resource\", \"project\", \"body\"}}: {error}")))?;
        for (name, value) in [("resource", &members.resource), ("project", &members.project)] {
            if value.is_empty() || value.contains(['/', '?', '#']) {
                return Err(refuse(format!("'{value}' is not the endpoint name of a {name}")));
            }
        }
        let body = Bytes::copy_from_slice(members.body.get().as_bytes());
        Ok(Self { project: members.project.into_owned(), resource: members.resource.into_owned(), body, position })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Line, BadLine> {
        Line::parse(LinePosition { input: "f".into(), line: 3 }, text.as_bytes())
    }

    #[test]
    fn the_body_is_kept_byte_for_byte() {
        let line =
            parse(r#"{"project":"ed-fi","source":"x","resource":"schools","body":{"a": 1.50 ,"a":2}}"#).expect("good");
        assert_eq!((line.project.as_str(), line.resource.as_str()), ("ed-fi", "schools"));
        assert_eq!(line.body.as_ref(), br#"{"a": 1.50 ,"a":2}"#);
    }

    #[test]
    fn a_line_that_cannot_be_posted_says_why_and_where() {
        for text in ["", "[]", "{\"resource\":\"a\"}", "{\"resource\":\"a/b\",\"project\":\"p\",\"body\":{}}", "{"] {
            let bad = parse(text).expect_err("it cannot be posted");
            assert_eq!(bad.position.to_string(), "f:3");
            assert!(!bad.reason.is_empty());
            assert_eq!(bad.text.as_deref(), Some(text));
        }
    }
}
