//! The answer to a bulk, item by item, as far as it goes.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Item {
    /// As HTTP counts them.
    pub(super) status: u16,
    /// What went wrong.
    pub(super) error: Option<ItemError>,
}

/// What went wrong with one item.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct ItemError {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    caused_by: Option<Cause>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Cause {
    reason: Option<String>,
}

impl ItemError {
    /// In the node's own words.
    pub(super) fn words(&self) -> String {
        let cause = self.caused_by.as_ref().and_then(|cause| cause.reason.as_deref());
        let parts = [Some(self.kind.as_str()), self.reason.as_deref(), cause];
        parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
    }
}

impl Item {
    /// The answer to a request that was about one document only.
    pub(super) fn of_answer(status: u16, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Refusal {
            error: ItemError,
        }
        Self { status, error: serde_json::from_slice::<Refusal>(body).ok().map(|refusal| refusal.error) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Index(Item),
    Delete(Item),
}

/// The items that are whole, in their order, and what the text after them suffers from, if anything.
pub(super) fn read(body: &[u8]) -> (Vec<Item>, Option<String>) {
    let mut items = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = json.deserialize_map(Answer(&mut items)).and_then(|()| json.end());
    (items, read.err().map(|error| error.to_string()))
}

struct Answer<'a>(&'a mut Vec<Item>);

impl<'de> Visitor<'de> for Answer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer to a bulk")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "items" {
                map.next_value_seed(Items(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Items<'a>(&'a mut Vec<Item>);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what became of each item")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(Action::Index(item) | Action::Delete(item)) = seq.next_element()? {
            self.0.push(item);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"took":3,"items":[{"index":{"status":201}},{"delete":{"status":404}},{"index":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"failed to parse field [birthDate]","caused_by":{"reason":"no date"}}}}]}"#;

    #[test]
    fn a_whole_answer_is_read_whole() {
        let (items, trouble) = read(WHOLE.as_bytes());
        assert_eq!(trouble, None);
        assert_eq!(items.iter().map(|item| item.status).collect::<Vec<_>>(), [201, 404, 400]);
        let error = items[2].error.as_ref().expect("an error");
        assert_eq!(error.words(), "mapper_parsing_exception: failed to parse field [birthDate]: no date");
    }

    #[test]
    fn wherever_an_answer_is_cut_what_is_whole_counts_and_nothing_else() {
        let (all, _) = read(WHOLE.as_bytes());
        let mut most = 0;
        for length in 0..WHOLE.len() {
            let (items, trouble) = read(&WHOLE.as_bytes()[..length]);
            assert!(trouble.is_some(), "cut at {length}");
            assert_eq!(items[..], all[..items.len()], "cut at {length}");
            // An item counts from its last brace on.
            assert!(items.len() >= most, "cut at {length}");
            most = items.len();
        }
        assert_eq!(most, 3);
    }

    #[test]
    fn what_is_no_answer_holds_no_items() {
        for text in ["", "<html>", "[]", "{\"items\":7}", "{\"items\":[{\"index\":{\"status\":\"x\"}}]}"] {
            let (items, trouble) = read(text.as_bytes());
            assert!(items.is_empty() && trouble.is_some(), "{text}");
        }
    }
}
