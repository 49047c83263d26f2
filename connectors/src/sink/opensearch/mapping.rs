//! Derives the mapping of an index from the fields of a resource.
//!
//! The member `document` holds the document unchanged. Next to it are `id`, `resource` (`ed-fi/students`), and two
//! fields that are indexed but not stored: `text` with the words of all texts, and `codes` with the words of all
//! descriptor codes.
//!
//! | kind | is |
//! |---|---|
//! | text | `keyword`, exact; below it `words`, analyzed |
//! | descriptor | `keyword`, the URI as written; below it `uri`, in lower case, and `code`, the part after the `#`, in lower case |
//! | integer, decimal, boolean | `long`, `double`, `boolean` |
//! | date, date-time | `date` |
//! | time | `keyword`: its text form sorts in its order |
//! | collection | `nested`, so that one element has to meet all conditions |
//!
//! Fields that the schema does not know are stored in the document and not searchable (`dynamic: false`).
//!
//! A `double` distinguishes numbers of up to 15 significant digits. Ed-Fi has amounts of up to 19: from 900 billion on,
//! with four decimal places, neighbouring numbers are equal to searches. The document keeps its digits.

use millstream_search::{FieldKind, HELD_UNITS_MAX, Place, SearchResource, Shape};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::analysis;

/// The member that holds the body of a document.
pub(super) const DOCUMENT: &str = "document";

/// Minimum limits of fields and collections: OpenSearch's defaults.
const FIELDS_MIN: usize = 1_000;
const COLLECTIONS_MIN: usize = 50;
/// Limit of collection elements per document. OpenSearch's default of 10,000 would reject a large document permanently.
const ELEMENTS_MAX: usize = 1_000_000;

/// The mapping and limits of one index.
#[derive(Debug)]
pub(super) struct IndexMapping {
    /// `properties` of the mapping.
    pub(super) properties: Value,
    /// Lower-case hexadecimal SHA-256 of the properties. The index stores it, so that a difference shows without a
    /// comparison of all properties.
    pub(super) digest: String,
    fields: usize,
    collections: usize,
}

impl IndexMapping {
    /// Returns the mapping of an index for these resources.
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
        // Each field with its subfields, and the objects around them.
        let count = |of: fn(&SearchResource) -> usize| resources.iter().map(|resource| of(resource)).sum::<usize>();
        let fields = 3 * count(|resource| resource.fields.len());
        Self { properties, digest, fields, collections: count(|resource| resource.collections.len()) }
    }

    /// Returns the body of the request that creates the index. `meta` describes its origin.
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

/// Merges the properties of resources that share an index.
fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (name, value) in from {
        match (into.get_mut(&name).and_then(|known| known.get_mut("properties")), value.get("properties")) {
            (Some(Value::Object(known)), Some(Value::Object(more))) => merge(known, more.clone()),
            _ => drop(into.entry(name).or_insert(value)),
        }
    }
}

fn properties(resource: &SearchResource, shape: &Shape) -> Map<String, Value> {
    shape.iter().map(|(name, place)| (name.to_owned(), property(resource, place))).collect()
}

fn property(resource: &SearchResource, place: &Place) -> Value {
    match place {
        Place::Field(ix) => field(resource.field(*ix).kind),
        Place::Object(shape) => json!({ "properties": properties(resource, shape) }),
        Place::Collection(_, element) => match element.as_ref() {
            Place::Object(shape) => json!({ "type": "nested", "properties": properties(resource, shape) }),
            // Elements without members are several values of one field.
            other => property(resource, other),
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
