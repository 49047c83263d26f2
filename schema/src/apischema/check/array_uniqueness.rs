//! Checks array uniqueness constraints: tuples of values of one array's items.

use super::json_path::leads_to_value;
use crate::apischema::body_schema::BodySchema;
use crate::apischema::error::{Findings, Location};
use crate::apischema::path;
use crate::apischema::raw::RawArrayUniqueness;
use std::collections::BTreeSet;

/// Checks a constraint and those nested in it. `above` is the base path of the constraint around it.
pub(super) fn check(
    constraint: &RawArrayUniqueness,
    above: Option<&str>,
    body: &BodySchema<'_>,
    at: &Location<'_>,
    findings: &mut Findings,
) {
    let base = constraint.base_path.as_deref().or(above);
    let mut scopes = BTreeSet::new();
    for (index, json_path) in constraint.paths.iter().enumerate() {
        let full = join(base, json_path);
        if leads_to_value(&full, body, &at.member("paths").item(index), findings) {
            scopes.insert(path::array_scope(&full).to_owned());
        }
    }
    if scopes.len() > 1 || scopes.contains("$") {
        let scopes = scopes.into_iter().collect::<Vec<_>>().join(", ");
        findings.refuse(&at.member("paths"), format!("these paths compare the items of one array, not of {scopes}"));
    }
    if constraint.paths.is_empty() && constraint.nested_constraints.is_empty() {
        findings.refuse(&at.member("paths"), "missing or empty: nothing would be compared");
    }
    for (index, nested) in constraint.nested_constraints.iter().enumerate() {
        check(nested, base, body, &at.member("nestedConstraints").item(index), findings);
    }
}

/// Joins a base path and a relative path: (`$.addresses[*]`, `$.periods[*].beginDate`) →
/// `$.addresses[*].periods[*].beginDate`.
fn join(base: Option<&str>, json_path: &str) -> String {
    match (base, json_path.strip_prefix('$')) {
        (Some(base), Some(below)) => format!("{base}{below}"),
        _ => json_path.to_owned(),
    }
}
