//! From bytes to rows: parse, coerce and prune, validate, flatten. Nothing here touches a database.

mod constraints;
mod encoding;
mod findings;
mod flatten;
mod parse;
mod pattern;
mod scalar;
mod shape;
mod validate;

use findings::Findings;
pub(crate) use findings::{MESSAGES_MAX, NOT_ALL};
pub(crate) use flatten::{Cell, FlatDocument, Row, Target};
pub(crate) use scalar::Scalar;
pub use validate::{InvalidJsonSchema, Validators};

use crate::error::WriteError;
use millstream_schema::plan::ResourcePlan;
use serde_json::Value;

/// The rule for a body's `id` member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdRule {
    /// POST: it must be absent.
    Absent,
    /// PUT: it must equal the id of the route.
    Equal(uuid::Uuid),
}

/// Turns a body from bytes into rows with unresolved references. The error lists all problems.
pub(crate) fn read(
    resource: &ResourcePlan,
    validators: &Validators,
    bytes: &[u8],
    id: IdRule,
) -> Result<FlatDocument, WriteError> {
    let mut object = parse::parse(bytes).map_err(|reason| WriteError::Malformed { errors: vec![reason.into()] })?;
    check_id(object.remove("id"), id)?;
    let mut findings = Findings::default();
    shape::shape(resource, &mut object, &mut findings);
    let body = Value::Object(object);
    validators.check(resource.key, &body, &mut findings);
    if !findings.is_empty() {
        return Err(findings.into_error());
    }
    constraints::check(resource, &body, &mut findings);
    let flat = flatten::flatten(resource, &body, &mut findings);
    if findings.is_empty() { Ok(flat) } else { Err(findings.into_error()) }
}

/// A body as it would be stored, computed without a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The document's own ReferentialId.
    pub referential_id: uuid::Uuid,
    /// Rows over all tables.
    pub rows: usize,
    /// Distinct documents and descriptors referred to.
    pub targets: usize,
}

/// Runs a POST body through every step that needs no database: parsing, coercion, pruning, validation, flattening. For
/// tests, fuzzing and benchmarks.
///
/// # Errors
/// The problems for which a write would refuse the body.
pub fn plan(resource: &ResourcePlan, validators: &Validators, bytes: &[u8]) -> Result<Planned, WriteError> {
    let flat = read(resource, validators, bytes, IdRule::Absent)?;
    let rows = flat.tables.iter().map(Vec::len).sum();
    Ok(Planned { referential_id: flat.referential_id, rows, targets: flat.targets.len() })
}

fn check_id(id: Option<Value>, rule: IdRule) -> Result<(), WriteError> {
    let refusal = |message: &str| {
        let mut findings = Findings::default();
        findings.add("$.id", message);
        Err(findings.into_error())
    };
    match (rule, id) {
        (IdRule::Absent, None) => Ok(()),
        (IdRule::Absent, Some(_)) => {
            refusal("Resource identifiers cannot be assigned by the client. The 'id' property should not be included.")
        }
        (IdRule::Equal(expected), Some(Value::String(id))) if id.eq_ignore_ascii_case(&expected.to_string()) => Ok(()),
        (IdRule::Equal(_), _) => refusal("Request body id must match the id in the url."),
    }
}

#[cfg(test)]
mod tests {
    use super::{IdRule, check_id};
    use serde_json::{Value, json};
    use uuid::Uuid;

    #[test]
    fn the_id_of_a_put_is_that_of_its_route_in_one_spelling() {
        let id = Uuid::from_u128(0xAB);
        let check = |value: Value| check_id(Some(value), IdRule::Equal(id));
        assert!(check(json!(id.to_string())).is_ok());
        assert!(check(json!(id.to_string().to_uppercase())).is_ok());
        let spelled = [id.simple().to_string(), id.braced().to_string(), id.urn().to_string()];
        for wrong in spelled.map(Value::from).into_iter().chain([json!(Uuid::nil().to_string()), json!(5), Value::Null])
        {
            assert!(check(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(check_id(None, IdRule::Equal(id)).is_err());
        assert!(check_id(None, IdRule::Absent).is_ok() && check_id(Some(Value::Null), IdRule::Absent).is_err());
    }
}
