//! The order of an answer, and where it goes on.
//!
//! Behind a key means a query of its own, not `search_after`: its bounds are of the same kind as those of conditions, and a
//! document without the field is behind all others in both directions.

use millstream_search::{Comparison, FieldKind, SearchQuery, Sort, SortKey, Test, Value};
use serde_json::{Value as Json, json};

use super::condition::of_test;
use super::field_name;

/// The order: by the fields of the sort, or by relevance, and ties by id.
pub(super) fn sort(query: &SearchQuery) -> Vec<Json> {
    let by_id = json!({ "id": { "order": "asc" } });
    if query.is_by_relevance() {
        return vec![json!({ "_score": { "order": "desc" } }), by_id];
    }
    let fields = query.sort.iter().map(|sort| {
        let field = query.resource.field(sort.field);
        let order = if sort.descending { "desc" } else { "asc" };
        // An older generation may not know the field: then it is missing everywhere.
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

/// What comes behind a key in the order: for some field, the same before it and greater in it.
pub(super) fn behind(query: &SearchQuery, key: &SortKey) -> Json {
    let mut same: Vec<Json> = Vec::new();
    let mut ways: Vec<Json> = Vec::new();
    for (sort, value) in query.sort.iter().zip(&key.values) {
        if let Some(value) = value {
            ways.push(all(&same, greater(query, *sort, value)));
        }
        same.push(equal(query, *sort, value.as_ref()));
    }
    ways.push(all(&same, json!({ "range": { "id": { "gt": key.uuid } } })));
    json!({ "bool": { "should": ways, "minimum_should_match": 1 } })
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
