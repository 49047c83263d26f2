//! Resolution of the names in a query.

use super::error::ParameterError;
use super::types::Operator;
use crate::model::{FieldIx, FieldKind, SearchResource};

/// Splits a condition's parameter name into field and operator.
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

/// Resolves a condition's name to its fields: at least one, all in the same collection or in none.
pub(super) fn condition_fields(
    resource: &SearchResource,
    parameter: &str,
    name: &str,
) -> Result<Vec<FieldIx>, ParameterError> {
    let fields = resource.named(name).ok_or_else(|| unknown(resource, parameter))?;
    let Some(first) = fields.first() else {
        return Err(ParameterError::new(
            parameter,
            "is not supported: the schema names a path for it that the resource does not have.",
        ));
    };
    let collection = resource.field(*first).collection;
    if fields.iter().any(|field| resource.field(*field).collection != collection) {
        return Err(ParameterError::new(
            parameter,
            "is not supported: the schema names paths for it in different collections.",
        ));
    }
    Ok(fields)
}

/// Resolves a name to exactly one field; `parameter` contained the name.
pub(super) fn single_field(resource: &SearchResource, parameter: &str, name: &str) -> Result<FieldIx, ParameterError> {
    let expected = |expected: &str| ParameterError::bad_value(parameter, name, expected);
    if let Some(field) = resource.at_path(name) {
        return Ok(field);
    }
    match resource.named(name).as_deref() {
        Some([field]) => Ok(*field),
        Some([]) | None => Err(expected("a field of the resource")),
        Some(fields) => {
            let paths: Vec<&str> = fields.iter().map(|field| resource.field(*field).path.as_str()).collect();
            Err(expected(&format!("one of the fields that it stands for ({})", paths.join(", "))))
        }
    }
}

/// Names a kind that has no ranges, for messages.
pub(super) fn unordered(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Id => "an id",
        FieldKind::Boolean => "true or false",
        FieldKind::Descriptor => "a descriptor",
        _ => "a value",
    }
}

fn unknown(resource: &SearchResource, parameter: &str) -> ParameterError {
    let problem = format!(
        "is not valid: '{}/{}' has no such field, and it is none of q, sort, facet, facetLimit, fields, limit, cursor and \
         totalCount.",
        resource.project_endpoint, resource.endpoint
    );
    ParameterError::new(parameter, &problem)
}
