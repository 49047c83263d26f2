//! Extraction of a document's values by field and collection element; engines index them, the reference evaluates them.

use crate::model::{CollectionIx, FieldIx, FieldKind, MemberKind, SearchResource, Shape};
use crate::value::{Value, code_of};
use serde_json::Value as Json;

/// The searchable content of a document.
#[derive(Debug, Default)]
pub struct Extracted {
    /// The document itself: the values outside collections, and the elements of its collections.
    pub root: Element,
    /// The input of free text, in no particular order: texts of any length, and code values of descriptors.
    pub texts: Vec<String>,
}

/// The document, or one element of a collection.
#[derive(Debug, Default)]
pub struct Element {
    /// Values of fields of this element.
    pub values: Vec<(FieldIx, Value)>,
    /// Elements of inner collections.
    pub inner: Vec<(CollectionIx, Element)>,
}

impl Element {
    /// Iterates over the values of a field in this element.
    pub fn values_of(&self, field: FieldIx) -> impl Iterator<Item = &Value> {
        self.values.iter().filter(move |(ix, _)| *ix == field).map(|(_, value)| value)
    }
}

/// Extracts the values of a body (with `id` and the other server members). Ignores members that the type does not have.
pub fn extract(resource: &SearchResource, body: &Json) -> Extracted {
    let mut extractor = Extractor { resource, texts: Vec::new() };
    let mut root = Element::default();
    if let Json::Object(members) = body {
        extractor.object(&resource.shape, members, &mut root);
    }
    Extracted { root, texts: extractor.texts }
}

struct Extractor<'a> {
    resource: &'a SearchResource,
    texts: Vec<String>,
}

impl Extractor<'_> {
    fn object(&mut self, shape: &Shape, members: &serde_json::Map<String, Json>, element: &mut Element) {
        for (name, json) in members {
            if let Some(place) = shape.get(name) {
                self.place(place, json, element);
            }
        }
    }

    fn place(&mut self, place: &MemberKind, json: &Json, element: &mut Element) {
        match (place, json) {
            (MemberKind::Field(field), json) => self.field(*field, json, element),
            (MemberKind::Object(shape), Json::Object(members)) => self.object(shape, members, element),
            (MemberKind::Collection(collection, item), Json::Array(items)) => {
                for json in items {
                    let mut inner = Element::default();
                    self.place(item, json, &mut inner);
                    element.inner.push((*collection, inner));
                }
            }
            _ => {}
        }
    }

    fn field(&mut self, ix: FieldIx, json: &Json, element: &mut Element) {
        let kind = self.resource.field(ix).kind;
        if kind.is_analyzed()
            && let Json::String(text) = json
        {
            let text = if kind == FieldKind::Descriptor { code_of(text) } else { text };
            self.texts.push(text.to_owned());
        }
        if let Some(value) = Value::from_json(kind, json) {
            element.values.push((ix, value));
        }
    }
}
