//! Translation of conditions to queries.

use millstream_search::{CollectionIx, Condition, Group, SearchResource, Test};
use serde_json::{Value, json};

use super::comparison::{compare, field_name};
use super::single_value;

/// Returns the queries for free text: every term must occur in some field.
pub(super) fn of_terms(terms: &[String]) -> Vec<Value> {
    let in_any_field = |term: &String| {
        let fields = ["text", "codes"].map(|field| json!({ "term": { field: term } }));
        json!({ "bool": { "should": fields, "minimum_should_match": 1 } })
    };
    terms.iter().map(in_any_field).collect()
}

/// Returns the queries of a group, on the document or on one element.
pub(super) fn of_group(resource: &SearchResource, group: &Group) -> Vec<Value> {
    let own: Vec<Value> = match group.collection.filter(|ix| is_bare(resource, *ix)) {
        Some(ix) => single_value::queries(&field_name(&resource.collection(ix).path), &group.conditions),
        None => group.conditions.iter().map(|condition| of_condition(resource, condition)).collect(),
    };
    let inner = group.inner.iter().filter(|inner| !inner.is_empty()).flat_map(|inner| {
        let queries = of_group(resource, inner);
        match inner.collection {
            Some(ix) if !is_bare(resource, ix) => vec![nested(resource, ix, &queries)],
            _ => queries,
        }
    });
    own.into_iter().chain(inner).collect()
}

/// Returns whether the elements are values, not objects: the index then has one field with several values instead of a
/// collection.
pub(super) fn is_bare(resource: &SearchResource, ix: CollectionIx) -> bool {
    let path = &resource.collection(ix).path;
    resource.fields.iter().any(|field| field.collection == Some(ix) && field.path == *path)
}

/// Returns the query that one element of a collection matches all of these.
fn nested(resource: &SearchResource, ix: CollectionIx, queries: &[Value]) -> Value {
    json!({ "nested": {
        "path": field_name(&resource.collection(ix).path),
        "query": { "bool": { "filter": queries } },
        // An older generation may lack the collection; the query then matches nothing.
        "ignore_unmapped": true,
    } })
}

fn of_condition(resource: &SearchResource, condition: &Condition) -> Value {
    let tests: Vec<Value> = condition.any_of.iter().map(|test| of_test(resource, test)).collect();
    match &tests[..] {
        [] => json!({ "match_none": {} }),
        [test] => test.clone(),
        _ => json!({ "bool": { "should": tests, "minimum_should_match": 1 } }),
    }
}

/// Returns the query of a test.
pub(super) fn of_test(resource: &SearchResource, test: &Test) -> Value {
    compare(&field_name(&resource.field(test.field).path), &test.comparison)
}
