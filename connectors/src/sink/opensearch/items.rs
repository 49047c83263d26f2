//! Decoder of a bulk response: reads the complete items of a response that may be truncated.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The result of one item of a bulk request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct BulkItem {
    /// HTTP status.
    pub(super) status: u16,
    /// The error, if any.
    pub(super) error: Option<ItemError>,
}

/// The error of one item.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct ItemError {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    caused_by: Option<ItemErrorCause>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct ItemErrorCause {
    reason: Option<String>,
}

impl ItemError {
    /// Returns the error as one line: type, reason and cause.
    pub(super) fn message(&self) -> String {
        let cause = self.caused_by.as_ref().and_then(|cause| cause.reason.as_deref());
        let parts = [Some(self.kind.as_str()), self.reason.as_deref(), cause];
        parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
    }
}

impl BulkItem {
    /// Converts the response to a single-document request into the same form.
    pub(super) fn of_response(status: u16, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct SingleError {
            error: ItemError,
        }
        Self { status, error: serde_json::from_slice::<SingleError>(body).ok().map(|body| body.error) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ItemAction {
    Index(BulkItem),
    Delete(BulkItem),
    /// The guard of an alias with deletes only ([`lines`](super::bulk::lines)).
    Update(BulkItem),
}

/// Returns the complete items in order, and the error with which decoding stopped after them, if any.
pub(super) fn read(body: &[u8]) -> (Vec<BulkItem>, Option<String>) {
    let mut items = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = json.deserialize_map(BulkVisitor(&mut items)).and_then(|()| json.end());
    (items, read.err().map(|error| error.to_string()))
}

struct BulkVisitor<'a>(&'a mut Vec<BulkItem>);

impl<'de> Visitor<'de> for BulkVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bulk response")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "items" {
                map.next_value_seed(ItemsVisitor(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct ItemsVisitor<'a>(&'a mut Vec<BulkItem>);

impl<'de> DeserializeSeed<'de> for ItemsVisitor<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ItemsVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the items of a bulk response")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(ItemAction::Index(item) | ItemAction::Delete(item) | ItemAction::Update(item)) =
            seq.next_element()?
        {
            self.0.push(item);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: &str = r#"{"took":3,"items":[{"index":{"status":201}},{"delete":{"status":404}},{"index":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"failed to parse field [birthDate]","caused_by":{"reason":"no date"}}}}]}"#;

    #[test]
    fn a_complete_response_yields_all_items() {
        let (items, error) = read(COMPLETE.as_bytes());
        assert_eq!(error, None);
        assert_eq!(items.iter().map(|item| item.status).collect::<Vec<_>>(), [201, 404, 400]);
        let error = items[2].error.as_ref().expect("an error");
        assert_eq!(error.message(), "mapper_parsing_exception: failed to parse field [birthDate]: no date");
    }

    #[test]
    fn a_truncated_response_yields_only_its_complete_items() {
        let (all, _) = read(COMPLETE.as_bytes());
        let mut previous = 0;
        for length in 0..COMPLETE.len() {
            let (items, error) = read(&COMPLETE.as_bytes()[..length]);
            assert!(error.is_some(), "cut at {length}");
            assert_eq!(items[..], all[..items.len()], "cut at {length}");
            // A longer response never yields fewer items.
            assert!(items.len() >= previous, "cut at {length}");
            previous = items.len();
        }
        assert_eq!(previous, 3);
    }

    #[test]
    fn an_invalid_response_yields_no_items() {
        for text in ["", "<html>", "[]", "{\"items\":7}", "{\"items\":[{\"index\":{\"status\":\"x\"}}]}"] {
            let (items, error) = read(text.as_bytes());
            assert!(items.is_empty() && error.is_some(), "{text}");
        }
    }
}
