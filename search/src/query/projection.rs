//! `fields=`: the members of a document that are to be returned.

use crate::model::{Place, SearchResource, Shape};
use bytes::Bytes;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Members of the answer that every projection keeps.
const ALWAYS: &str = "id";

/// Members that are no fields of the model.
const SERVER_ONLY: &str = "_etag";

/// Which members of a document are returned. `id` always is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Projection {
    members: BTreeMap<String, Kept>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kept {
    /// With everything below it.
    Whole,
    Some(Projection),
}

impl Projection {
    /// Adds what a name stands for: a place of the body (a scalar, an object, a collection), else the places of a query
    /// field; ignoring case. `false`: neither.
    pub(super) fn add(&mut self, resource: &SearchResource, name: &str) -> bool {
        if name.eq_ignore_ascii_case(SERVER_ONLY) {
            self.keep(&[SERVER_ONLY]);
            return true;
        }
        if let Some(path) = proper(&resource.shape, name) {
            self.keep(&path);
            return true;
        }
        let places = resource.named(name).unwrap_or_default();
        for place in &places {
            self.keep(&resource.field(*place).path.split('.').collect::<Vec<_>>());
        }
        !places.is_empty()
    }

    fn keep(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        let inner = self.members.entry((*first).to_owned()).or_insert_with(|| Kept::Some(Self::default()));
        match inner {
            Kept::Whole => {}
            whole if rest.is_empty() => *whole = Kept::Whole,
            Kept::Some(inner) => inner.keep(rest),
        }
    }

    /// The body with these members only. Objects and collections of which nothing is left are left out.
    ///
    /// # Errors
    /// If the body is no JSON.
    pub fn apply(&self, body: &[u8]) -> Result<Bytes, serde_json::Error> {
        let mut json: Json = serde_json::from_slice(body)?;
        if let Json::Object(members) = &mut json {
            members.retain(|name, value| name == ALWAYS || self.retain(name, value));
        }
        serde_json::to_vec(&json).map(Bytes::from)
    }

    fn retain(&self, name: &str, value: &mut Json) -> bool {
        match self.members.get(name) {
            None => false,
            Some(Kept::Whole) => true,
            Some(Kept::Some(inner)) => inner.cut(value),
        }
    }

    /// Cuts a value down; `false` if nothing is left.
    fn cut(&self, value: &mut Json) -> bool {
        match value {
            Json::Object(members) => {
                members.retain(|name, value| self.retain(name, value));
                !members.is_empty()
            }
            Json::Array(items) => {
                items.retain_mut(|item| self.cut(item));
                !items.is_empty()
            }
            _ => false,
        }
    }
}

/// The path of a dotted name in its proper case; `None` if the body has no such place.
fn proper<'a>(shape: &'a Shape, name: &str) -> Option<Vec<&'a str>> {
    let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    let (proper_name, place) = shape.iter().find(|(known, _)| known.eq_ignore_ascii_case(first))?;
    let mut path = vec![proper_name];
    if let Some(rest) = rest {
        path.extend(proper(members(place)?, rest)?);
    }
    Some(path)
}

fn members(place: &Place) -> Option<&Shape> {
    match place {
        Place::Field(_) => None,
        Place::Object(shape) => Some(shape),
        Place::Collection(_, item) => members(item),
    }
}
