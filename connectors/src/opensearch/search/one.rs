//! Several conditions on one value of a field that has several.
//!
//! Two queries on such a field may be met by two of its values. So they are made one: an equality that the others accept,
//! or one range with the narrowest bounds.

use millstream_schema::referential::lower_uri;
use millstream_search::{Comparison, Condition, SearchResource, Test, Value, code_of};
use serde_json::{Map, Value as Json, json};

use super::condition::of_test;
use super::field_name;

/// What one value has to meet. There is one field in such a collection, and so one test in a condition.
pub(super) fn value(resource: &SearchResource, conditions: &[Condition]) -> Vec<Json> {
    let tests: Option<Vec<&Test>> = conditions.iter().map(|condition| condition.any_of.first()).collect();
    match tests.as_deref() {
        None => vec![json!({ "match_none": {} })],
        Some([]) => Vec::new(),
        Some(tests) => vec![together(resource, tests)],
    }
}

fn together(resource: &SearchResource, tests: &[&Test]) -> Json {
    // The narrowest first: a whole URI says more than its code value.
    let rank = |test: &&&Test| match test.comparison {
        Comparison::Equal(_) | Comparison::Uri(_) => 0,
        Comparison::Code(_) => 1,
        _ => 2,
    };
    let Some(narrowest) = tests.iter().min_by_key(rank) else { return json!({ "match_all": {} }) };
    let fits = |accepts: &dyn Fn(&Comparison) -> bool| {
        if tests.iter().all(|test| accepts(&test.comparison)) {
            of_test(resource, narrowest)
        } else {
            json!({ "match_none": {} })
        }
    };
    match &narrowest.comparison {
        Comparison::Equal(value) => fits(&|comparison| comparison.accepts(value)),
        Comparison::Uri(uri) => fits(&|comparison| match comparison {
            Comparison::Code(code) => lower_uri(code_of(uri)) == *code,
            other => *other == narrowest.comparison,
        }),
        Comparison::Code(_) => fits(&|comparison| *comparison == narrowest.comparison),
        _ => range(resource, tests),
    }
}

/// One range for all of them.
fn range(resource: &SearchResource, tests: &[&Test]) -> Json {
    let (mut lower, mut upper): (Option<Bound<'_>>, Option<Bound<'_>>) = (None, None);
    for test in tests {
        match &test.comparison {
            Comparison::Above(value) => narrow(&mut lower, ("gt", value), |new, held| new > held),
            Comparison::AtLeast(value) => narrow(&mut lower, ("gte", value), |new, held| new > held),
            Comparison::Below(value) => narrow(&mut upper, ("lt", value), |new, held| new < held),
            Comparison::AtMost(value) => narrow(&mut upper, ("lte", value), |new, held| new < held),
            _ => {}
        }
    }
    let bounds = lower.into_iter().chain(upper).map(|(name, value)| (name.to_owned(), value.to_json()));
    let bounds: Map<String, Json> = bounds.collect();
    let name = tests.first().map(|test| field_name(&resource.field(test.field).path)).unwrap_or_default();
    json!({ "range": { name: bounds } })
}

type Bound<'a> = (&'static str, &'a Value);

fn narrow<'a>(held: &mut Option<Bound<'a>>, new: Bound<'a>, is_narrower: fn(&Value, &Value) -> bool) {
    // Of two at the same value the one that leaves it out is the narrower.
    let replaces = held.is_none_or(|(name, value)| {
        is_narrower(new.1, value) || (new.1 == value && name.ends_with('e') && !new.0.ends_with('e'))
    });
    if replaces {
        *held = Some(new);
    }
}
