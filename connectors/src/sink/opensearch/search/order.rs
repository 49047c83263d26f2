//! The sort order, and the continuation after a key.
//!
//! The continuation is a query, not `search_after`: its bounds are of the same kind as those of conditions, and a
//! document without the field comes last in both directions.

use millstream_search::{Comparison, FieldKind, SearchQuery, Sort, SortKey, Test, Value};
use serde_json::{Value as Json, json};

use super::comparison::field_name;
use super::condition::of_test;

/// Returns the sort: by the sort fields or by relevance, with ties by id.
pub(super) fn sort(query: &SearchQuery) -> Vec<Json> {
    let by_id = json!({ "id": { "order": "asc" } });
    if query.is_by_relevance() {
        return vec![json!({ "_score": { "order": "desc" } }), by_id];
    }
    let fields = query.sort.iter().map(|sort| {
        let field = query.resource.field(sort.field);
        let order = if sort.descending { "desc" } else { "asc" };
        // An older generation may lack the field; it is then missing in every document.
        json!({ field_name(&field.path): {
            "order": order, "missing": "_last", "unmapped_type": type_name(field.kind),
        } })
    });
    fields.chain([by_id]).collect()
}

fn type_name(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Id | FieldKind::Text | FieldKind::Descriptor | FieldKind::Time => "keyword",
        FieldKind::Integer => "long",
        FieldKind::Decimal { .. } => "double",
        FieldKind::Boolean => "boolean",
        FieldKind::Date | FieldKind::DateTime => "date",
    }
}

/// Returns the query for documents after a key: equal in the first sort fields and greater in the next one.
pub(super) fn after_key(query: &SearchQuery, key: &SortKey) -> Json {
    let mut same: Vec<Json> = Vec::new();
    let mut alternatives: Vec<Json> = Vec::new();
    for (sort, value) in query.sort.iter().zip(&key.values) {
        if let Some(value) = value {
            alternatives.push(all(&same, greater(query, *sort, value)));
        }
        same.push(equal(query, *sort, value.as_ref()));
    }
    alternatives.push(all(&same, json!({ "range": { "id": { "gt": key.uuid } } })));
    json!({ "bool": { "should": alternatives, "minimum_should_match": 1 } })
}

fn all(same: &[Json], last: Json) -> Json {
    let filter: Vec<Json> = same.iter().cloned().chain([last]).collect();
    json!({ "bool": { "filter": filter } })
}

fn test(query: &SearchQuery, sort: Sort, comparison: Comparison) -> Json {
    of_test(&query.resource, &Test { field: sort.field, comparison })
}

fn missing(query: &SearchQuery, sort: Sort) -> Json {
    let name = field_name(&query.resource.field(sort.field).path);
    json!({ "bool": { "must_not": [{ "exists": { "field": name } }] } })
}

fn greater(query: &SearchQuery, sort: Sort, value: &Value) -> Json {
    let beyond = if sort.descending { Comparison::Below(value.clone()) } else { Comparison::Above(value.clone()) };
    json!({ "bool": { "should": [test(query, sort, beyond), missing(query, sort)], "minimum_should_match": 1 } })
}

fn equal(query: &SearchQuery, sort: Sort, value: Option<&Value>) -> Json {
    match value {
        Some(value) => test(query, sort, Comparison::Equal(value.clone())),
        None => missing(query, sort),
    }
}
