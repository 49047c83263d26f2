//! Derives the mapping of an index from the fields of a resource.
//!
//! The field `document` holds the document unchanged. The index also has the fields `id` and `resource`
//! (`ed-fi/students`), and two fields that are indexed but not stored: `text` with the words of all texts, and `codes`
//! with the words of all descriptor codes.
//!
//! | kind of field | mapping |
//! |---|---|
//! | text | `keyword`, exact; below it `words`, analyzed |
//! | descriptor | `keyword`, the URI as written; below it, in lower case, `uri` and `code` (the part after the `#`) |
//! | integer, decimal, boolean | `long`, `double`, `boolean` |
//! | date, date-time | `date` |
//! | time | `keyword`: its text form sorts by time |
//! | collection | `nested`, so that all conditions apply to the same element |
//!
//! Members that the schema does not define are stored in the document, but are not searchable (`dynamic: false`).
//!
//! A `double` distinguishes numbers of up to 15 significant digits, but Ed-Fi amounts have up to 19. From 900 billion
//! on, searches therefore treat neighbouring amounts with four decimal places as equal. The stored document keeps all
//! digits.

use millstream_search::{FieldKind, HELD_UNITS_MAX, MemberKind, SearchResource, Shape};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::analysis;

/// The field that holds the body of a document.
pub(super) const DOCUMENT: &str = "document";

/// Lower bounds for the limits on fields and collections: OpenSearch's defaults.
const FIELDS_MIN: usize = 1_000;
const COLLECTIONS_MIN: usize = 50;
/// Limit on collection elements per document. OpenSearch's default of 10,000 would reject a large document permanently.
const ELEMENTS_MAX: usize = 1_000_000;

/// The mapping and limits of one index.
#[derive(Debug)]
pub(super) struct IndexMapping {
    /// `properties` of the mapping.
    pub(super) properties: Value,
    /// Lower-case hexadecimal SHA-256 of the properties. The index stores it, so that comparing two digests
    /// detects a different mapping.
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
        // Each field counts three times, which covers its subfields and the objects around it.
        let count = |of: fn(&SearchResource) -> usize| resources.iter().map(|resource| of(resource)).sum::<usize>();
        let fields = 3 * count(|resource| resource.fields.len());
        Self { properties, digest, fields, collections: count(|resource| resource.collections.len()) }
    }

    /// Returns the body of the request that creates the index with these settings. `meta` describes its origin.
    pub(super) fn create(&self, mut settings: Map<String, Value>, meta: Value, aliases: Value) -> Value {
        let limits = json!({
            "total_fields.limit": self.fields.max(FIELDS_MIN),
            "nested_fields.limit": self.collections.max(COLLECTIONS_MIN),
            "nested_objects.limit": ELEMENTS_MAX,
        });
        settings.insert("mapping".to_owned(), limits);
        json!({
            "settings": { "index": settings },
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

fn property(resource: &SearchResource, place: &MemberKind) -> Value {
    match place {
        MemberKind::Field(ix) => field(resource.field(*ix).kind),
        MemberKind::Object(shape) => json!({ "properties": properties(resource, shape) }),
        MemberKind::Collection(_, element) => match element.as_ref() {
            MemberKind::Object(shape) => json!({ "type": "nested", "properties": properties(resource, shape) }),
            // Scalar elements become several values of one field.
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
