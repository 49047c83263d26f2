//! JSON with its source spelling.
//!
//! `serde_json::Value` loses two things: it respells numbers with an exponent, while fingerprints depend on the source
//! text, and it keeps one of two members with the same name, while such a file must be refused.

use std::borrow::Cow;
use std::collections::HashSet;

/// A JSON value that borrows from its text.
#[derive(Debug, PartialEq)]
pub(super) enum Source<'t> {
    Object(Vec<(Cow<'t, str>, Source<'t>)>),
    Array(Vec<Source<'t>>),
    Text(Cow<'t, str>),
    /// A number, `true`, `false` or `null`, as spelled.
    Literal(&'t str),
}

/// Parses a text that another parser has accepted, so it is well-formed and its nesting is limited. `None` if it is
/// malformed.
pub(super) fn read(text: &str) -> Option<Source<'_>> {
    let mut reader = Reader { text, at: 0 };
    reader.blanks();
    let value = reader.value()?;
    reader.blanks();
    (reader.at == text.len()).then_some(value)
}

impl<'t> Source<'t> {
    /// Returns a member of an object.
    pub(super) fn member(&self, name: &str) -> Option<&Source<'t>> {
        match self {
            Source::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Returns the paths, relative to this value, of members that repeat an earlier one of the same object.
    pub(super) fn repeats(&self) -> Vec<String> {
        let mut repeats = Vec::new();
        self.collect_repeats("", &mut repeats);
        repeats
    }

    fn collect_repeats(&self, path: &str, repeats: &mut Vec<String>) {
        match self {
            Source::Object(members) => {
                let mut seen = HashSet::with_capacity(members.len());
                for (key, value) in members {
                    let fresh = seen.insert(key);
                    if fresh && matches!(value, Source::Text(_) | Source::Literal(_)) {
                        continue;
                    }
                    let dot = if path.is_empty() { "" } else { "." };
                    let path = format!("{path}{dot}{key}");
                    value.collect_repeats(&path, repeats);
                    if !fresh {
                        repeats.push(path);
                    }
                }
            }
            Source::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.collect_repeats(&format!("{path}[{index}]"), repeats);
                }
            }
            Source::Text(_) | Source::Literal(_) => {}
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Consumes `byte` and the blanks around it if it is next.
    fn take(&mut self, byte: u8) -> bool {
        self.blanks();
        let next = self.peek() == Some(byte);
        if next {
            self.at += 1;
            self.blanks();
        }
        next
    }

    fn value(&mut self) -> Option<Source<'t>> {
        match self.peek()? {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => Some(Source::Text(self.string()?)),
            _ => {
                let start = self.at;
                while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.')) {
                    self.at += 1;
                }
                let literal = &self.text[start..self.at];
                (!literal.is_empty()).then_some(Source::Literal(literal))
            }
        }
    }

    fn object(&mut self) -> Option<Source<'t>> {
        self.at += 1;
        let mut members = Vec::new();
        if self.take(b'}') {
            return Some(Source::Object(members));
        }
        loop {
            self.blanks();
            let key = self.string()?;
            if !self.take(b':') {
                return None;
            }
            members.push((key, self.value()?));
            if self.take(b'}') {
                return Some(Source::Object(members));
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    fn array(&mut self) -> Option<Source<'t>> {
        self.at += 1;
        let mut items = Vec::new();
        if self.take(b']') {
            return Some(Source::Array(items));
        }
        loop {
            items.push(self.value()?);
            if self.take(b']') {
                return Some(Source::Array(items));
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    fn string(&mut self) -> Option<Cow<'t, str>> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let start = self.at;
        self.at += 1;
        let mut escaped = false;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                _ => self.at += 1,
            }
        }
        self.at += 1;
        if escaped {
            return serde_json::from_str(self.text.get(start..self.at)?).ok().map(Cow::Owned);
        }
        self.text.get(start + 1..self.at - 1).map(Cow::Borrowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_spelling() {
        let text = r#" { "a" : [ 1E3 , -0.50 , true , null , [ ] , { } ] , "b\u0041\"" : "x\né" } "#;
        let expected = Source::Object(vec![
            (
                "a".into(),
                Source::Array(vec![
                    Source::Literal("1E3"),
                    Source::Literal("-0.50"),
                    Source::Literal("true"),
                    Source::Literal("null"),
                    Source::Array(vec![]),
                    Source::Object(vec![]),
                ]),
            ),
            ("bA\"".into(), Source::Text("x\né".into())),
        ]);
        assert_eq!(read(text), Some(expected));
    }

    #[test]
    fn malformed_text_is_refused() {
        for bad in ["", "{", "{\"a\"}", "[1,", "[1 2]", "\"a", "{\"a\":1}x", "\"\\", "{1:2}", "[,]"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn repeated_members_are_named_with_their_path() {
        let text =
            r#"{"a":{"b":1,"c":[{"d":1},{"d":2,"\u0064":3}],"b":"}"},"e":"{\"x\":1,\"x\":2}","f":[{"a":1},{"a":1}]}"#;
        assert_eq!(read(text).map(|s| s.repeats()), Some(vec!["a.c[1].d".to_owned(), "a.b".to_owned()]));
    }
}
