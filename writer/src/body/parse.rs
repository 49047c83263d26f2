//! Parsing of request bodies, with the checks that need no schema.

use super::encoding;
use super::findings::ProblemMessage;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::fmt;

/// Parses a request body, which must be valid UTF-8, with or without a byte-order mark, and one JSON object, without duplicate members and at most 128
/// levels deep (serde_json's limit). The error message contains the position.
pub(crate) fn parse(bytes: &[u8]) -> Result<Map<String, Value>, ProblemMessage> {
    object(bytes).map_err(ProblemMessage)
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let text = encoding::text(bytes)?;
    if text.trim().is_empty() {
        return Err("A non-empty request body is required.".to_owned());
    }
    serde_json::from_str::<UniqueMembers>(text)
        .map_err(|error| format!("The request body is not valid JSON: {error}."))?;
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("The request body must be a JSON object.".to_owned()),
        Err(error) => Err(format!("The request body is not valid JSON: {error}.")),
    }
}

/// Any JSON without duplicate members; deserializing it discards the value. serde_json itself silently keeps the last
/// of the duplicates.
struct UniqueMembers;

impl<'de> Deserialize<'de> for UniqueMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = UniqueMembers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(UniqueMembers)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(UniqueMembers)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(UniqueMembers)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(UniqueMembers)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(UniqueMembers)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(UniqueMembers)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<UniqueMembers>()?.is_some() {}
        Ok(UniqueMembers)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut seen: HashSet<String> = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if seen.contains(&name) {
                return Err(A::Error::custom(format_args!("member \"{name}\" occurs twice in one object")));
            }
            seen.insert(name);
            members.next_value::<UniqueMembers>()?;
        }
        Ok(UniqueMembers)
    }
}

#[cfg(test)]
mod tests {
    use super::{object, parse};

    fn refusal(body: &[u8]) -> String {
        object(body).expect_err("must be refused")
    }

    #[test]
    fn a_body_that_is_not_a_json_object_is_refused_with_the_reason() {
        assert!(refusal(b"").contains("non-empty"));
        assert!(refusal(b"[1]").contains("must be a JSON object"));
        assert!(refusal(b"{\"a\":1,\"a\":2}").contains("\"a\" occurs twice"));
        assert!(refusal(b"{\"a\":[{\"b\":1.5,\"b\":2}]}").contains("\"b\" occurs twice"));
        assert!(refusal(b"{\"a\":\"\xff\"}").contains("UTF-8"));
        assert!(refusal(b"\xFF\xFE{\0}\0").contains("send it in UTF-8"));
        assert!(refusal(b"\xEF\xBB\xBF").contains("non-empty"));
        assert!(refusal(b"{\"a\":1} trailing").contains("not valid JSON"));
        let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
        assert!(refusal(deep.as_bytes()).contains("recursion limit"));
    }

    #[test]
    fn a_byte_order_mark_is_accepted() {
        assert_eq!(parse(b"\xEF\xBB\xBF{\"a\":1}").expect("valid")["a"], 1);
    }

    #[test]
    fn numbers_keep_their_digits() {
        let body = parse(b"{\"a\":12345678901234567890123.10}").expect("valid");
        assert_eq!(body["a"].to_string(), "12345678901234567890123.10");
    }
}
