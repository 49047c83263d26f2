//! Checks of single JSON paths, used by the checks of resources and their parts.

use crate::apischema::body_schema::BodySchema;
use crate::apischema::error::{Findings, Location};
use crate::apischema::path;

/// Returns whether a path follows the grammar and is not the body itself (`$`); refuses it if not.
pub(super) fn follows_grammar(json_path: &str, at: &Location<'_>, findings: &mut Findings) -> bool {
    let good = path::parse(json_path).is_some_and(|segments| !segments.is_empty());
    if !good {
        findings.refuse(at, format!("{json_path:?} is not a path: expected $, then .name and [*] only"));
    }
    good
}

/// Returns whether a path leads to a single value of the body; refuses it if not.
pub(super) fn leads_to_value(
    json_path: &str,
    body: &BodySchema<'_>,
    at: &Location<'_>,
    findings: &mut Findings,
) -> bool {
    if !follows_grammar(json_path, at, findings) {
        return false;
    }
    let good = body.find_value(json_path).is_some();
    if !good {
        findings.refuse(
            at,
            format!("{json_path} is not a value in jsonSchemaForInsert: correct the path, or add the member"),
        );
    }
    good
}
