//! Constraints between values of one body: equality pairs, and tuples unique among the items of an array.

use super::findings::Findings;
use millstream_schema::plan::{ArrayUniqueness, EqualityConstraint, ResourcePlan};
use millstream_schema::referential::{canonical_number, lower_uri};
use serde_json::Value;
use std::collections::HashMap;

/// Checks a shaped and schema-valid body.
pub(super) fn check(resource: &ResourcePlan, body: &Value, findings: &mut Findings) {
    for constraint in &resource.equality_constraints {
        let uris = is_uri(resource, &constraint.source) || is_uri(resource, &constraint.target);
        equality(constraint, uris, body, findings);
    }
    for constraint in &resource.array_uniqueness {
        let segments: Vec<&str> = segments(&constraint.items);
        let member = |member: &Vec<String>| is_uri(resource, &join(&constraint.items, member));
        let uris: Vec<bool> = constraint.members.iter().map(member).collect();
        each_array(body, &segments, "$".to_owned(), &mut |path, items| {
            unique(constraint, &uris, path, items, findings)
        });
    }
}

/// Whether a path holds the URI of a descriptor, itself or in a reference: those match ignoring case.
fn is_uri(resource: &ResourcePlan, path: &str) -> bool {
    if resource.descriptors.iter().any(|site| site.path == path) {
        return true;
    }
    let Some((parent, leaf)) = path.rsplit_once('.') else { return false };
    let site = resource.references.iter().find(|site| site.path == parent);
    site.is_some_and(|site| site.members.iter().any(|member| member.name == leaf && member.lower_case))
}

/// (`$.a[*]`, `["b", "c"]`) → `$.a[*].b.c`.
fn join(items: &str, member: &[String]) -> String {
    member.iter().fold(items.to_owned(), |path, name| format!("{path}.{name}"))
}

/// A value found by a path, with the array indexes on the way.
struct FoundValue<'v> {
    indexes: Vec<(usize, usize)>,
    value: &'v Value,
}

/// If both paths run through the same array, compares values within each item; else every value with every other.
/// Equality is transitive, so comparing all values of a group of shared items with its first suffices.
fn equality(constraint: &EqualityConstraint, uris: bool, body: &Value, findings: &mut Findings) {
    let (source, target) = (segments(&constraint.source), segments(&constraint.target));
    let shared = source.iter().zip(&target).take_while(|(a, b)| a == b).count();
    let items = |found: &FoundValue<'_>| -> Vec<(usize, usize)> {
        found.indexes.iter().copied().filter(|(depth, _)| *depth < shared).collect()
    };
    let mut groups: HashMap<_, (Vec<&Value>, Vec<&Value>)> = HashMap::new();
    for found in find(body, &source) {
        groups.entry(items(&found)).or_default().0.push(found.value);
    }
    for found in find(body, &target) {
        groups.entry(items(&found)).or_default().1.push(found.value);
    }
    let differ = |(left, right): &(Vec<&Value>, Vec<&Value>)| match left.first() {
        Some(first) if !right.is_empty() => left.iter().chain(right).any(|value| !equal(first, value, uris)),
        _ => false,
    };
    if groups.values().any(differ) {
        let message = format!(
            "All values supplied for '{}' must match: {} and {} differ.",
            constraint.source.rsplit('.').next().unwrap_or_default(),
            constraint.source,
            constraint.target
        );
        findings.add(&constraint.source, message.clone());
        findings.add(&constraint.target, message);
    }
}

fn equal(a: &Value, b: &Value, uris: bool) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => canonical_number(a.as_str()) == canonical_number(b.as_str()),
        (Value::String(a), Value::String(b)) => a == b || (uris && lower_uri(a) == lower_uri(b)),
        _ => a == b,
    }
}

/// `$.a[*].b` → `["a", "[*]", "b"]`.
fn segments(path: &str) -> Vec<&str> {
    let names = path.trim_start_matches('$').split('.').filter(|segment| !segment.is_empty());
    names
        .flat_map(|name| match name.strip_suffix("[*]") {
            Some(name) => vec![name, "[*]"],
            None => vec![name],
        })
        .collect()
}

fn find<'v>(body: &'v Value, segments: &[&str]) -> Vec<FoundValue<'v>> {
    let mut found = vec![FoundValue { indexes: Vec::new(), value: body }];
    for (depth, segment) in segments.iter().enumerate() {
        found = found
            .into_iter()
            .flat_map(|at| -> Vec<FoundValue<'v>> {
                let FoundValue { indexes, value } = at;
                match (*segment, value) {
                    ("[*]", Value::Array(items)) => {
                        let step = |(index, value)| {
                            let mut indexes: Vec<(usize, usize)> = indexes.clone();
                            indexes.push((depth, index));
                            FoundValue { indexes, value }
                        };
                        items.iter().enumerate().map(step).collect()
                    }
                    (name, Value::Object(members)) => {
                        members.get(name).map(|value| FoundValue { indexes, value }).into_iter().collect()
                    }
                    _ => Vec::new(),
                }
            })
            .collect();
    }
    found
}

/// Calls `check` with every array that the segments (ending in `[*]`) lead to, and its concrete path.
fn each_array(value: &Value, segments: &[&str], path: String, check: &mut impl FnMut(&str, &[Value])) {
    match (segments, value) {
        (["[*]"], Value::Array(items)) => check(&path, items),
        (["[*]", rest @ ..], Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                each_array(item, rest, format!("{path}[{index}]"), check);
            }
        }
        ([name, rest @ ..], Value::Object(members)) => {
            if let Some(member) = members.get(*name) {
                each_array(member, rest, format!("{path}.{name}"), check);
            }
        }
        _ => {}
    }
}

fn unique(constraint: &ArrayUniqueness, uris: &[bool], path: &str, items: &[Value], findings: &mut Findings) {
    let mut seen: HashMap<Vec<String>, usize> = HashMap::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let tuple: Vec<String> =
            constraint.members.iter().zip(uris).map(|(member, uri)| key_of(item, member, *uri)).collect();
        if tuple.iter().all(String::is_empty) {
            continue;
        }
        if seen.insert(tuple, index).is_some() {
            let name = path.rsplit('.').next().unwrap_or(path);
            findings.add(
                path,
                format!(
                    "The {} item of the {name} has the same identifying values as another item earlier in the list.",
                    nth(index + 1)
                ),
            );
        }
    }
}

/// A comparable text of one member; absent ones are empty, descriptor URIs ignore case.
fn key_of(item: &Value, member: &[String], uri: bool) -> String {
    match member.iter().try_fold(item, |at, name| at.get(name)) {
        None => String::new(),
        Some(Value::Number(number)) => canonical_number(number.as_str()).unwrap_or_else(|| number.to_string()),
        Some(Value::String(text)) if uri => lower_uri(text),
        Some(other) => other.to_string(),
    }
}

fn nth(number: usize) -> String {
    let suffix = match (number % 10, number % 100) {
        (1, hundred) if hundred != 11 => "st",
        (2, hundred) if hundred != 12 => "nd",
        (3, hundred) if hundred != 13 => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}
