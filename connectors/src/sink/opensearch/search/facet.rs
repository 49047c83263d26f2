//! Counts over all matching documents: the total, and the documents per value.

use std::collections::BTreeMap;

use millstream_search::{Facet, FacetCount, FacetValues, FieldKind, SearchPage, SearchQuery, Value};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::super::client::InvalidResponse;
use super::comparison::field_name;
use super::condition::is_bare;

const TOTAL: &str = "total";
const ELEMENTS: &str = "values";
const DOCUMENTS: &str = "documents";

/// One aggregation of the response.
#[derive(Debug, Deserialize)]
pub(super) struct AggregationResult {
    #[serde(default)]
    doc_count: u64,
    #[serde(default)]
    buckets: Vec<AggregationBucket>,
    /// Buckets of a field in a collection.
    values: Option<AggregationBuckets>,
}

#[derive(Debug, Deserialize)]
struct AggregationBuckets {
    buckets: Vec<AggregationBucket>,
}

#[derive(Debug, Deserialize)]
struct AggregationBucket {
    key: Json,
    key_as_string: Option<String>,
    doc_count: u64,
    /// Number of documents, if the bucket counts elements.
    documents: Option<DocumentCount>,
}

#[derive(Debug, Deserialize)]
struct DocumentCount {
    doc_count: u64,
}

/// Returns the aggregations of a query.
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

/// Reads the counts of a response into a page.
pub(super) fn read(
    query: &SearchQuery,
    counts: &BTreeMap<String, AggregationResult>,
    page: &mut SearchPage,
) -> Result<(), InvalidResponse> {
    let get = |name: &str| counts.get(name).ok_or_else(|| InvalidResponse(format!("it has no count {name}")));
    if query.total_count {
        page.total = Some(get(TOTAL)?.doc_count);
    }
    for (at, facet) in query.facets.iter().enumerate() {
        let counted = get(&name(at))?;
        let kind = query.resource.field(facet.field).kind;
        let buckets = counted.values.as_ref().map_or(&counted.buckets, |values| &values.buckets);
        let values: Result<Vec<FacetCount>, InvalidResponse> =
            buckets.iter().map(|bucket| count(kind, bucket)).collect();
        page.facets.push(FacetValues { name: facet.name.clone(), values: values? });
    }
    Ok(())
}

fn count(kind: FieldKind, bucket: &AggregationBucket) -> Result<FacetCount, InvalidResponse> {
    let value = match &bucket.key_as_string {
        Some(text) => Value::from_text(kind, text),
        None => Value::from_json(kind, &bucket.key),
    };
    let invalid = || InvalidResponse(format!("it counts {}, which its field cannot hold", bucket.key));
    let value = value.ok_or_else(invalid)?;
    let documents = bucket.documents.as_ref().map_or(bucket.doc_count, |documents| documents.doc_count);
    Ok(FacetCount { value, documents })
}

/// Returns the page of a resource without documents.
pub(super) fn empty_page(query: &SearchQuery) -> SearchPage {
    let facets = query.facets.iter().map(|facet| FacetValues { name: facet.name.clone(), values: Vec::new() });
    SearchPage { total: query.total_count.then_some(0), facets: facets.collect(), ..SearchPage::default() }
}
