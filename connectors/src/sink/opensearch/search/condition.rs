//! Conditions as queries.

use millstream_search::{CollectionIx, Comparison, Condition, Group, SearchResource, Test};
use serde_json::{Value, json};

use super::{field_name, one};

/// Free text: every term occurs somewhere.
pub(super) fn of_terms(terms: &[String]) -> Vec<Value> {
    let somewhere = |term: &String| {
        let places = ["text", "codes"].map(|field| json!({ "term": { field: term } }));
        json!({ "bool": { "should": places, "minimum_should_match": 1 } })
    };
    terms.iter().map(somewhere).collect()
}

/// What a group asks of the document, or of one element.
pub(super) fn of_group(resource: &SearchResource, group: &Group) -> Vec<Value> {
    let own: Vec<Value> = match group.collection.filter(|ix| is_bare(resource, *ix)) {
        Some(ix) => one::value(&field_name(&resource.collection(ix).path), &group.conditions),
        None => group.conditions.iter().map(|condition| of_condition(resource, condition)).collect(),
    };
    let inner = group.inner.iter().filter(|inner| !inner.is_empty()).flat_map(|inner| {
        let asked = of_group(resource, inner);
        match inner.collection {
            Some(ix) if !is_bare(resource, ix) => vec![nested(resource, ix, &asked)],
            _ => asked,
        }
    });
    own.into_iter().chain(inner).collect()
}

/// Its elements are values, not objects: then it is no collection to the index, but one field with several values.
pub(super) fn is_bare(resource: &SearchResource, ix: CollectionIx) -> bool {
    let path = &resource.collection(ix).path;
    resource.fields.iter().any(|field| field.collection == Some(ix) && field.path == *path)
}

/// One element of a collection meets all of these.
fn nested(resource: &SearchResource, ix: CollectionIx, asked: &[Value]) -> Value {
    json!({ "nested": {
        "path": field_name(&resource.collection(ix).path),
        "query": { "bool": { "filter": asked } },
        // An older generation may not know the collection: then nothing is found in it.
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

/// A comparison of a field.
pub(super) fn of_test(resource: &SearchResource, test: &Test) -> Value {
    compare(&field_name(&resource.field(test.field).path), &test.comparison)
}

/// A comparison of the field of this name.
pub(super) fn compare(name: &str, comparison: &Comparison) -> Value {
    match comparison {
        Comparison::Equal(value) => json!({ "term": { name: { "value": value.to_json() } } }),
        Comparison::Uri(uri) => json!({ "term": { format!("{name}.uri"): { "value": uri } } }),
        Comparison::Code(code) => json!({ "term": { format!("{name}.code"): { "value": code } } }),
        Comparison::Above(value) => json!({ "range": { name: { "gt": value.to_json() } } }),
        Comparison::AtLeast(value) => json!({ "range": { name: { "gte": value.to_json() } } }),
        Comparison::Below(value) => json!({ "range": { name: { "lt": value.to_json() } } }),
        Comparison::AtMost(value) => json!({ "range": { name: { "lte": value.to_json() } } }),
    }
}
