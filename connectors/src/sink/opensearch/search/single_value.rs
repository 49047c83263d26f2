//! Several conditions on one value of a multi-valued field.
//!
//! Separate queries on such a field could match different values. This module therefore combines the conditions into
//! one query: an equality that all other conditions accept, or one range with the narrowest bounds.

use millstream_schema::referential::lower_uri;
use millstream_search::{Comparison, Condition, Value, code_of};
use serde_json::{Map, Value as Json, json};

use super::comparison::compare;

/// Returns the query that matches if one value of the field meets all conditions. The elements of such a collection are
/// scalars of one field, so each condition has at most one test.
pub(super) fn queries(field: &str, conditions: &[Condition]) -> Vec<Json> {
    let tests = conditions.iter().map(|condition| condition.any_of.first().map(|test| &test.comparison));
    match tests.collect::<Option<Vec<&Comparison>>>().as_deref() {
        None => vec![json!({ "match_none": {} })],
        Some([]) => Vec::new(),
        Some(comparisons) => vec![combine(field, comparisons)],
    }
}

fn combine(field: &str, all: &[&Comparison]) -> Json {
    // A whole URI is narrower than its code value.
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

/// Returns the range with the narrowest bounds of all comparisons.
fn range(field: &str, all: &[&Comparison]) -> Json {
    let (mut lower, mut upper): (Option<RangeBound<'_>>, Option<RangeBound<'_>>) = (None, None);
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

type RangeBound<'a> = (&'static str, &'a Value);

fn narrow<'a>(held: &mut Option<RangeBound<'a>>, new: RangeBound<'a>, is_narrower: fn(&Value, &Value) -> bool) {
    // Of two bounds at the same value, the exclusive one is narrower.
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

    fn combined(all: &[Comparison]) -> Json {
        combine("n", &all.iter().collect::<Vec<_>>())
    }

    fn nothing() -> Json {
        json!({ "match_none": {} })
    }

    #[test]
    fn bounds_become_one_range() {
        use Comparison::{Above, AtLeast, AtMost, Below};
        let n = Value::Integer;
        let of = |bounds: Json| json!({ "range": { "n": bounds } });
        assert_eq!(combined(&[AtLeast(n(3)), Above(n(3)), AtLeast(n(2))]), of(json!({ "gt": 3 })));
        assert_eq!(
            combined(&[Above(n(3)), AtLeast(n(4)), Below(n(9)), AtMost(n(8))]),
            of(json!({ "gte": 4, "lte": 8 }))
        );
    }

    #[test]
    fn an_equality_is_used_if_the_other_comparisons_accept_it() {
        use Comparison::{Below, Code, Equal, Uri};
        let n = Value::Integer;
        assert_eq!(combined(&[Below(n(9)), Equal(n(3))]), compare("n", &Equal(n(3))));
        assert_eq!(combined(&[Below(n(3)), Equal(n(3))]), nothing());
        assert_eq!(combined(&[Equal(n(4)), Equal(n(3))]), nothing());
        let (uri, code) = (|text: &str| Uri(text.to_owned()), |text: &str| Code(text.to_owned()));
        assert_eq!(combined(&[code("tenth"), uri("uri://a#tenth")]), compare("n", &uri("uri://a#tenth")));
        assert_eq!(combined(&[code("ninth"), uri("uri://a#tenth")]), nothing());
        assert_eq!(combined(&[code("ninth"), code("tenth")]), nothing());
    }
}
