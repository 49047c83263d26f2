//! `/data/{project}/{endpoint}[/{id}]`: the resources.

mod collection;
mod item;
mod location;
mod write;

pub(crate) use collection::collection;
pub(crate) use item::item;
pub(crate) use location::base_url;

use crate::problem::{Problem, ProblemKind};
use crate::routes::Shared;
use axum::extract::RawPathParams;
use axum::extract::rejection::RawPathParamsRejection;
use axum::http::HeaderValue;
use millstream_schema::plan::ResourceIx;
use uuid::Uuid;

/// Media type of documents.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// The segments of a path under `/data` or `/search`, as axum gives them.
pub(crate) type Segments = Result<RawPathParams, RawPathParamsRejection>;

/// What a path under `/data` or `/search` names: a resource type, and perhaps the text of an id.
pub(crate) struct Address {
    pub(crate) resource: ResourceIx,
    /// `None`: the id is no uuid, so no document has it.
    id: Option<Uuid>,
}

impl Address {
    pub(crate) fn resolve(api: &Shared, segments: Segments) -> Result<Self, Problem> {
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

/// Only the one spelling that ids are given out in, in any case.
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
