//! Cursors: the sort key of the last document of a page, after which the next page starts.
//!
//! A cursor is a key, not a number of documents to skip: whatever is written, deleted or indexed between two pages, an
//! unchanged document is returned exactly once. A document whose sort key changes may move to the other side of the
//! cursor.
//!
//! The text is opaque to clients: a letter for its format, then base64 of a JSON array with the digest of the query,
//! the key and the id. It is checked, not signed: a forged cursor can only lead to documents that the query matches.

use super::types::{Group, SearchQuery, SortKey};
use crate::extract::extract;
use crate::hit::Hit;
use crate::value::Value;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::fmt::{self, Write as _};
use uuid::Uuid;

/// Version of the format.
const FORMAT: &str = "a";

/// Bytes of the query's digest in a cursor.
const DIGEST_BYTES: usize = 9;

/// The text of a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(String);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SearchQuery {
    /// Returns the cursor after a document that this query found, with its complete body. `None` for an order by
    /// relevance.
    ///
    /// # Errors
    /// If the body is not JSON.
    pub fn cursor_after(&self, last: &Hit) -> Result<Option<Cursor>, serde_json::Error> {
        if self.is_by_relevance() {
            return Ok(None);
        }
        let values = if self.sort.is_empty() {
            Vec::new()
        } else {
            let root = extract(&self.resource, &serde_json::from_slice(&last.body)?).root;
            self.sort.iter().map(|sort| root.values_of(sort.field).next().cloned()).collect()
        };
        Ok(Some(self.write_cursor(&SortKey { values, uuid: last.uuid })))
    }

    fn write_cursor(&self, key: &SortKey) -> Cursor {
        let values: Vec<Option<String>> =
            key.values.iter().map(|value| value.as_ref().map(ToString::to_string)).collect();
        let json = serde_json::json!([self.digest(), values, key.uuid.to_string()]);
        Cursor(format!("{FORMAT}{}", URL_SAFE_NO_PAD.encode(json.to_string())))
    }

    /// Parses a cursor of this query; `None` for any other text.
    pub(super) fn read_cursor(&self, text: &str) -> Option<SortKey> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(FORMAT)?).ok()?;
        let json: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        let [digest, values, uuid] = json.as_array()?.as_slice() else { return None };
        let values = values.as_array()?;
        if digest.as_str()? != self.digest() || values.len() != self.sort.len() {
            return None;
        }
        let values = self.sort.iter().zip(values).map(|(sort, json)| match json {
            serde_json::Value::Null => Some(None),
            json => Some(Some(Value::from_text(self.resource.field(sort.field).kind, json.as_str()?)?)),
        });
        Some(SortKey { values: values.collect::<Option<_>>()?, uuid: Uuid::try_parse(uuid.as_str()?).ok()? })
    }

    /// Returns the digest that binds a cursor to its query: type, conditions and order, not the size of the page.
    fn digest(&self) -> String {
        let mut lines: Vec<String> = self.terms.iter().map(|term| format!("q {term}")).collect();
        self.conditions_of(&self.conditions, &mut lines);
        lines.sort_unstable();
        let mut text = format!("{}/{}", self.resource.project_endpoint, self.resource.endpoint);
        for sort in &self.sort {
            let direction = if sort.descending { '-' } else { '+' };
            lines.push(format!("sort {direction}{}", self.resource.field(sort.field).path));
        }
        for line in lines {
            // The Debug form escapes line ends.
            write!(text, "\n{line:?}").unwrap_or_default();
        }
        URL_SAFE_NO_PAD.encode(&Sha256::digest(text)[..DIGEST_BYTES])
    }

    fn conditions_of(&self, group: &Group, lines: &mut Vec<String>) {
        for condition in &group.conditions {
            let tests = condition.any_of.iter();
            let tests = tests.map(|test| format!("{} {:?}", self.resource.field(test.field).path, test.comparison));
            lines.push(format!("? {}", tests.collect::<Vec<_>>().join(" | ")));
        }
        for inner in &group.inner {
            self.conditions_of(inner, lines);
        }
    }
}
