//! Paths under `/data` and `/search`: the resource type and the document id.

use crate::problem::{Problem, ProblemKind};
use crate::state::ApiState;
use axum::extract::RawPathParams;
use axum::extract::rejection::RawPathParamsRejection;
use millstream_schema::plan::ResourceIx;
use uuid::Uuid;

/// The segments of a path under `/data` or `/search`, as axum delivers them.
pub(crate) type Segments = Result<RawPathParams, RawPathParamsRejection>;

/// A resource type and, for a single document, its id.
pub(crate) struct Address {
    /// The resource type.
    pub(crate) resource: ResourceIx,
    /// `None` if the path has no id, or one that is not a UUID and therefore belongs to no document.
    pub(crate) id: Option<Uuid>,
}

impl Address {
    /// Finds the resource type of a path.
    pub(crate) fn resolve(api: &ApiState, segments: Segments) -> Result<Self, Problem> {
        let segments = segments.map_err(|rejection| {
            Problem::new(ProblemKind::BadRequest, "The path is not UTF-8 in percent encoding.")
                .because(rejection.to_string())
        })?;
        let (mut project, mut endpoint, mut id) = ("", "", None);
        for (name, value) in &segments {
            match name {
                "project" => project = value,
                "endpoint" => endpoint = value,
                _ => id = read_uuid(value),
            }
        }
        let resource = api.mapping.route(project, endpoint).ok_or_else(Problem::no_such_endpoint)?;
        Ok(Self { resource, id })
    }
}

/// Accepts only the hyphenated form, in which ids are issued, in any case.
fn read_uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        let uuid = Uuid::from_u128(0xAB);
        assert_eq!(read_uuid(&uuid.to_string()), Some(uuid));
        assert_eq!(read_uuid(&uuid.to_string().to_uppercase()), Some(uuid));
        for wrong in [uuid.simple().to_string(), uuid.braced().to_string(), uuid.urn().to_string(), "x".repeat(36)] {
            assert_eq!(read_uuid(&wrong), None, "{wrong}");
        }
    }
}
