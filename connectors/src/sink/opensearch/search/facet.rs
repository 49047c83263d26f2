//! Counts over all documents that match: how many, and how many have which value.

use std::collections::BTreeMap;

use millstream_search::{Facet, FacetCount, FacetValues, FieldKind, SearchPage, SearchQuery, Value};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::condition::is_bare;
use super::field_name;

const TOTAL: &str = "total";
const ELEMENTS: &str = "values";
const DOCUMENTS: &str = "documents";

/// One count of the answer.
#[derive(Debug, Deserialize)]
pub(super) struct Counted {
    #[serde(default)]
    doc_count: u64,
    #[serde(default)]
    buckets: Vec<Bucket>,
    /// Of a field in a collection.
    values: Option<Buckets>,
}

#[derive(Debug, Deserialize)]
struct Buckets {
    buckets: Vec<Bucket>,
}

#[derive(Debug, Deserialize)]
struct Bucket {
    key: Json,
    key_as_string: Option<String>,
    doc_count: u64,
    /// Where it counts elements: the documents that these are in.
    documents: Option<Documents>,
}

#[derive(Debug, Deserialize)]
struct Documents {
    doc_count: u64,
}

/// What is to be counted.
pub(super) fn aggregations(query: &SearchQuery) -> Map<String, Json> {
    let facets = query.facets.iter().enumerate();
    let mut counts: Map<String, Json> = facets.map(|(at, facet)| (name(at), aggregation(query, facet))).collect();
    if query.total_count {
        counts.insert(TOTAL.to_owned(), json!({ "filter": { "match_all": {} } }));
    }
    counts
}

fn name(at: usize) -> String {
    format!("facet{at}")
}

fn aggregation(query: &SearchQuery, facet: &Facet) -> Json {
    let field = query.resource.field(facet.field);
    let collection = field.collection.filter(|ix| !is_bare(&query.resource, *ix));
    let by = if collection.is_some() { DOCUMENTS } else { "_count" };
    let mut terms = json!({
        "field": field_name(&field.path),
        "size": query.facet_values_max,
        "order": [{ by: "desc" }, { "_key": "asc" }],
    });
    match field.kind {
        FieldKind::Date => terms["format"] = json!("yyyy-MM-dd"),
        FieldKind::DateTime => terms["format"] = json!("yyyy-MM-dd'T'HH:mm:ss'Z'"),
        _ => {}
    }
    match collection {
        None => json!({ "terms": terms }),
        Some(ix) => json!({
            "nested": { "path": field_name(&query.resource.collection(ix).path) },
            "aggs": { ELEMENTS: { "terms": terms, "aggs": { DOCUMENTS: { "reverse_nested": {} } } } },
        }),
    }
}

/// Reads the counts of an answer into a page.
pub(super) fn read(
    query: &SearchQuery,
    counts: &BTreeMap<String, Counted>,
    page: &mut SearchPage,
) -> Result<(), String> {
    let get = |name: &str| counts.get(name).ok_or_else(|| format!("it did not count {name}"));
    if query.total_count {
        page.total = Some(get(TOTAL)?.doc_count);
    }
    for (at, facet) in query.facets.iter().enumerate() {
        let counted = get(&name(at))?;
        let kind = query.resource.field(facet.field).kind;
        let buckets = counted.values.as_ref().map_or(&counted.buckets, |values| &values.buckets);
        let values: Result<Vec<FacetCount>, String> = buckets.iter().map(|bucket| count(kind, bucket)).collect();
        page.facets.push(FacetValues { name: facet.name.clone(), values: values? });
    }
    Ok(())
}

fn count(kind: FieldKind, bucket: &Bucket) -> Result<FacetCount, String> {
    let value = match &bucket.key_as_string {
        Some(text) => Value::from_text(kind, text),
        None => Value::from_json(kind, &bucket.key),
    };
    let value = value.ok_or_else(|| format!("it counted {}, which its field cannot hold", bucket.key))?;
    let documents = bucket.documents.as_ref().map_or(bucket.doc_count, |documents| documents.doc_count);
    Ok(FacetCount { value, documents })
}

/// The answer for a type of which there is nothing.
pub(super) fn empty_page(query: &SearchQuery) -> SearchPage {
    let facets = query.facets.iter().map(|facet| FacetValues { name: facet.name.clone(), values: Vec::new() });
    SearchPage { total: query.total_count.then_some(0), facets: facets.collect(), ..SearchPage::default() }
}
