//! The projection `fields=`: the members of a document to return.

use crate::model::{MemberKind, SearchResource, Shape};
use bytes::Bytes;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Member that every projection keeps.
const ALWAYS: &str = "id";

/// Member that is not a field of the model.
const SERVER_ONLY: &str = "_etag";

/// The members of a document to return, and always `id`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Projection {
    members: BTreeMap<String, Selection>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Selection {
    /// The member with everything below it.
    Whole,
    Some(Projection),
}

impl Projection {
    /// Adds a member of the body (a scalar, an object, a collection) by its path, else the fields of a query field,
    /// ignoring case. Returns false for an unknown name.
    pub(super) fn add(&mut self, resource: &SearchResource, name: &str) -> bool {
        if name.eq_ignore_ascii_case(SERVER_ONLY) {
            self.keep(&[SERVER_ONLY]);
            return true;
        }
        if let Some(path) = proper_path(&resource.shape, name) {
            self.keep(&path);
            return true;
        }
        let fields = resource.named(name).unwrap_or_default();
        for field in &fields {
            self.keep(&resource.field(*field).path.split('.').collect::<Vec<_>>());
        }
        !fields.is_empty()
    }

    fn keep(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        let inner = self.members.entry((*first).to_owned()).or_insert_with(|| Selection::Some(Self::default()));
        match inner {
            Selection::Whole => {}
            whole if rest.is_empty() => *whole = Selection::Whole,
            Selection::Some(inner) => inner.keep(rest),
        }
    }

    /// Returns the body with these members only, without empty objects and collections.
    ///
    /// # Errors
    /// If the body is not JSON.
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
            Some(Selection::Whole) => true,
            Some(Selection::Some(inner)) => inner.cut(value),
        }
    }

    /// Removes other members of a value; returns false if nothing remains.
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

/// Returns a dotted name in its proper case; `None` if the body has no such member.
fn proper_path<'a>(shape: &'a Shape, name: &str) -> Option<Vec<&'a str>> {
    let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    let (proper_name, place) = shape.iter().find(|(known, _)| known.eq_ignore_ascii_case(first))?;
    let mut path = vec![proper_name];
    if let Some(rest) = rest {
        path.extend(proper_path(members(place)?, rest)?);
    }
    Some(path)
}

fn members(place: &MemberKind) -> Option<&Shape> {
    match place {
        MemberKind::Field(_) => None,
        MemberKind::Object(shape) => Some(shape),
        MemberKind::Collection(_, item) => members(item),
    }
}
