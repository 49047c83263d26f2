//! Several conditions on one value of a field that has several.
//!
//! Two queries on such a field may be met by two of its values. So they are made one: an equality that the others accept,
//! or one range with the narrowest bounds.

use millstream_schema::referential::lower_uri;
use millstream_search::{Comparison, Condition, Value, code_of};
use serde_json::{Map, Value as Json, json};

use super::condition::compare;

/// What one value of the field has to meet. In such a collection there is one field, and so one test in a condition.
pub(super) fn value(field: &str, conditions: &[Condition]) -> Vec<Json> {
    let tests = conditions.iter().map(|condition| condition.any_of.first().map(|test| &test.comparison));
    match tests.collect::<Option<Vec<&Comparison>>>().as_deref() {
        None => vec![json!({ "match_none": {} })],
        Some([]) => Vec::new(),
        Some(comparisons) => vec![together(field, comparisons)],
    }
}

fn together(field: &str, all: &[&Comparison]) -> Json {
    // A whole URI says more than its code value.
    let rank = |comparison: &&&Comparison| match comparison {
        Comparison::Equal(_) | Comparison::Uri(_) => 0,
        Comparison::Code(_) => 1,
        _ => 2,
    };
    let Some(narrowest) = all.iter().min_by_key(rank).copied() else { return json!({ "match_all": {} }) };
    let is_met = match narrowest {
        Comparison::Equal(value) => all.iter().all(|comparison| comparison.accepts(value)),
        Comparison::Uri(uri) => all.iter().all(|comparison| match comparison {
            Comparison::Code(code) => lower_uri(code_of(uri)) == *code,
            other => *other == narrowest,
        }),
        Comparison::Code(_) => all.iter().all(|comparison| *comparison == narrowest),
        _ => return range(field, all),
    };
    if is_met { compare(field, narrowest) } else { json!({ "match_none": {} }) }
}

/// One range for all of them.
fn range(field: &str, all: &[&Comparison]) -> Json {
    let (mut lower, mut upper): (Option<Bound<'_>>, Option<Bound<'_>>) = (None, None);
    for comparison in all {
        match comparison {
            Comparison::Above(value) => narrow(&mut lower, ("gt", value), |new, held| new > held),
            Comparison::AtLeast(value) => narrow(&mut lower, ("gte", value), |new, held| new > held),
            Comparison::Below(value) => narrow(&mut upper, ("lt", value), |new, held| new < held),
            Comparison::AtMost(value) => narrow(&mut upper, ("lte", value), |new, held| new < held),
            _ => {}
        }
    }
    let bounds = lower.into_iter().chain(upper).map(|(name, value)| (name.to_owned(), value.to_json()));
    json!({ "range": { field: bounds.collect::<Map<String, Json>>() } })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(all: &[Comparison]) -> Json {
        together("n", &all.iter().collect::<Vec<_>>())
    }

    fn nothing() -> Json {
        json!({ "match_none": {} })
    }

    #[test]
    fn bounds_become_one_range() {
        use Comparison::{Above, AtLeast, AtMost, Below};
        let n = Value::Integer;
        let of = |bounds: Json| json!({ "range": { "n": bounds } });
        assert_eq!(asked(&[AtLeast(n(3)), Above(n(3)), AtLeast(n(2))]), of(json!({ "gt": 3 })));
        assert_eq!(asked(&[Above(n(3)), AtLeast(n(4)), Below(n(9)), AtMost(n(8))]), of(json!({ "gte": 4, "lte": 8 })));
    }

    #[test]
    fn an_equality_stands_if_the_others_accept_it() {
        use Comparison::{Below, Code, Equal, Uri};
        let n = Value::Integer;
        assert_eq!(asked(&[Below(n(9)), Equal(n(3))]), compare("n", &Equal(n(3))));
        assert_eq!(asked(&[Below(n(3)), Equal(n(3))]), nothing());
        assert_eq!(asked(&[Equal(n(4)), Equal(n(3))]), nothing());
        let (uri, code) = (|text: &str| Uri(text.to_owned()), |text: &str| Code(text.to_owned()));
        assert_eq!(asked(&[code("tenth"), uri("uri://a#tenth")]), compare("n", &uri("uri://a#tenth")));
        assert_eq!(asked(&[code("ninth"), uri("uri://a#tenth")]), nothing());
        assert_eq!(asked(&[code("ninth"), code("tenth")]), nothing());
    }
}
