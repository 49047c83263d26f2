//! From the fields of a type to the mapping of its index.
//!
//! A document lies under the member `document`, as it is; beside it stand `id`, `resource` (`ed-fi/students`) and, out of
//! its values and not stored, the words of all of it: `text` those of its texts, `codes` those of its descriptors' codes.
//!
//! | kind | is |
//! |---|---|
//! | text | `keyword`, exact; below it `words`, analyzed |
//! | descriptor | `keyword`, the URI as it is spelled; below it `uri`, in lower case, and `code`, what stands behind the `#`, in lower case |
//! | integer, decimal, boolean | `long`, `double`, `boolean` |
//! | date, date-time | `date` |
//! | time | `keyword`: its spelling is in its order |
//! | collection | `nested`, so that one element has to meet all conditions |
//!
//! What the schema does not know is in the document and cannot be searched (`dynamic: false`).
//!
//! A `double` tells numbers of up to 15 digits apart, whatever of them stands after the point. Ed-Fi has amounts of up to 19:
//! from 900 billion on, with four digits after the point, neighbours are one number to searches. The document keeps its
//! digits.

use millstream_search::{FieldKind, HELD_UNITS_MAX, Place, SearchResource, Shape};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::analysis;

/// What the bodies of documents lie under.
pub(super) const DOCUMENT: &str = "document";

/// Fields and collections that OpenSearch allows unless told otherwise, and some room above what is known.
const FIELDS_MIN: usize = 1_000;
const COLLECTIONS_MIN: usize = 50;
/// Elements of all collections of one document. Its own limit of 10,000 would refuse a large document for good.
const ELEMENTS_MAX: usize = 1_000_000;

/// How one index is made.
#[derive(Debug)]
pub(super) struct IndexMapping {
    /// `properties` of the mapping.
    pub(super) properties: Value,
    /// Lower-hex SHA-256 of the properties: kept in the index, so that a difference shows without comparing all of them.
    pub(super) digest: String,
    fields: usize,
    collections: usize,
}

impl IndexMapping {
    /// The mapping of an index that holds these types.
    pub(super) fn of(resources: &[&SearchResource]) -> Self {
        let mut document = Map::new();
        for resource in resources {
            merge(&mut document, properties(resource, &resource.shape));
        }
        let properties = json!({
            "id": { "type": "keyword" },
            "resource": { "type": "keyword" },
            "text": { "type": "text", "analyzer": analysis::WORDS, "index_options": "freqs" },
            "codes": { "type": "text", "analyzer": analysis::CODE_WORDS, "index_options": "freqs" },
            DOCUMENT: { "properties": document },
        });
        let digest: String = Sha256::digest(properties.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
        // Each field with its second form, and the objects around them.
        let count = |of: fn(&SearchResource) -> usize| resources.iter().map(|resource| of(resource)).sum::<usize>();
        let fields = 3 * count(|resource| resource.fields.len());
        Self { properties, digest, fields, collections: count(|resource| resource.collections.len()) }
    }

    /// The body of the request that makes the index. `meta` says what it was made of.
    pub(super) fn create(&self, meta: Value, aliases: Value) -> Value {
        json!({
            "settings": { "index.mapping": {
                "total_fields.limit": self.fields.max(FIELDS_MIN),
                "nested_fields.limit": self.collections.max(COLLECTIONS_MIN),
                "nested_objects.limit": ELEMENTS_MAX,
            } },
            "mappings": { "dynamic": false, "_meta": meta, "properties": self.properties },
            "aliases": aliases,
        })
    }
}

/// Types that share an index share what they have in common.
fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (name, value) in from {
        match (into.get_mut(&name).and_then(|known| known.get_mut("properties")), value.get("properties")) {
            (Some(Value::Object(known)), Some(Value::Object(more))) => merge(known, more.clone()),
            _ => drop(into.entry(name).or_insert(value)),
        }
    }
}

fn properties(resource: &SearchResource, shape: &Shape) -> Map<String, Value> {
    shape.iter().map(|(name, place)| (name.to_owned(), place_of(resource, place))).collect()
}

fn place_of(resource: &SearchResource, place: &Place) -> Value {
    match place {
        Place::Field(ix) => field(resource.field(*ix).kind),
        Place::Object(shape) => json!({ "properties": properties(resource, shape) }),
        Place::Collection(_, element) => match element.as_ref() {
            Place::Object(shape) => json!({ "type": "nested", "properties": properties(resource, shape) }),
            // Elements without members are just several values of one field.
            other => place_of(resource, other),
        },
    }
}

fn field(kind: FieldKind) -> Value {
    match kind {
        FieldKind::Id | FieldKind::Time => json!({ "type": "keyword", "ignore_above": HELD_UNITS_MAX }),
        FieldKind::Text => json!({
            "type": "keyword", "ignore_above": HELD_UNITS_MAX, "copy_to": "text",
            "fields": { "words": { "type": "text", "analyzer": analysis::WORDS, "norms": false } },
        }),
        FieldKind::Descriptor => json!({
            "type": "keyword", "ignore_above": HELD_UNITS_MAX, "copy_to": "codes",
            "fields": {
                "uri": { "type": "keyword", "ignore_above": HELD_UNITS_MAX, "normalizer": analysis::URI },
                "code": { "type": "keyword", "ignore_above": HELD_UNITS_MAX, "normalizer": analysis::CODE },
            },
        }),
        FieldKind::Integer => json!({ "type": "long" }),
        FieldKind::Decimal { .. } => json!({ "type": "double" }),
        FieldKind::Boolean => json!({ "type": "boolean" }),
        FieldKind::Date => json!({ "type": "date", "format": "strict_date" }),
        FieldKind::DateTime => json!({ "type": "date", "format": "strict_date_optional_time" }),
    }
}
