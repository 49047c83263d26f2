//! What the names in a query stand for.

use super::Operator;
use super::error::ParameterError;
use crate::model::{FieldIx, FieldKind, SearchResource};

/// A condition's parameter name: the field, and how it compares.
pub(super) fn split_operator(parameter: &str) -> Result<(&str, Operator), ParameterError> {
    let Some((name, suffix)) = parameter.rsplit_once(':') else { return Ok((parameter, Operator::Equal)) };
    let operator = match suffix {
        "gt" => Operator::Above,
        "gte" => Operator::AtLeast,
        "lt" => Operator::Below,
        "lte" => Operator::AtMost,
        _ => {
            return Err(ParameterError::new(
                parameter,
                "has no known operator: ':gt', ':gte', ':lt' or ':lte' is expected.",
            ));
        }
    };
    Ok((name, operator))
}

/// The places that a condition is about: one at least, all in the same collection or in none.
pub(super) fn places(resource: &SearchResource, parameter: &str, name: &str) -> Result<Vec<FieldIx>, ParameterError> {
    let places = resource.named(name).ok_or_else(|| unknown(resource, parameter))?;
    let Some(first) = places.first() else {
        return Err(ParameterError::new(
            parameter,
            "is not supported: the schema names a path for it that the resource does not have.",
        ));
    };
    let collection = resource.field(*first).collection;
    if places.iter().any(|place| resource.field(*place).collection != collection) {
        return Err(ParameterError::new(
            parameter,
            "is not supported: the schema names paths for it in different collections.",
        ));
    }
    Ok(places)
}

/// The one field that a name stands for, where only one will do: `parameter` is what it was named in.
pub(super) fn single(resource: &SearchResource, parameter: &str, name: &str) -> Result<FieldIx, ParameterError> {
    let expected = |what: &str| ParameterError::bad_value(parameter, name, what);
    if let Some(place) = resource.at_path(name) {
        return Ok(place);
    }
    match resource.named(name).as_deref() {
        Some([place]) => Ok(*place),
        Some([]) | None => Err(expected("a field of the resource")),
        Some(places) => {
            let paths: Vec<&str> = places.iter().map(|place| resource.field(*place).path.as_str()).collect();
            Err(expected(&format!("one of the fields that it stands for ({})", paths.join(", "))))
        }
    }
}

/// What a range can be asked of, and what not.
pub(super) fn unordered(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Id => "an id",
        FieldKind::Boolean => "true or false",
        FieldKind::Descriptor => "a descriptor",
        _ => "a value",
    }
}

fn unknown(resource: &SearchResource, parameter: &str) -> ParameterError {
    let what = format!(
        "is not valid: '{}/{}' has no such field, and it is none of q, sort, facet, facetLimit, fields, limit, cursor and \
         totalCount.",
        resource.project_endpoint, resource.endpoint
    );
    ParameterError::new(parameter, &what)
}
