//! Queries every query field of every type with a value of some document.

use crate::expected_state::ExpectedState;
use crate::shape::{Kind, Set};
use crate::trial::Counts;
use millstream_pipeline::memory::MemoryBudget;
use millstream_schema::plan::Mapping;
use millstream_schema::referential::{canonical_number, lower_uri};
use millstream_store::load::Caches;
use millstream_store::query::QueryRequest;
use millstream_store::read;
use millstream_testkit::TestDatabase;
use serde_json::Value;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Runs all queries; returns an error if a result differs from the expected documents.
pub(crate) async fn query_all(
    set: &Set,
    state: &ExpectedState<'_>,
    database: &TestDatabase,
    mapping: &Mapping,
    counts: &mut Counts,
) -> Result<(), String> {
    let caches = Caches::default();
    for (of, found) in set.types.iter().enumerate().filter(|(_, t)| matches!(t.kind, Kind::Concrete | Kind::SchoolYear))
    {
        let project = &set.projects[found.project].endpoint;
        let resource = mapping.route(project, &found.endpoint).ok_or("no route")?;
        let documents: Vec<(Option<Uuid>, Value)> = state
            .existing()
            .into_iter()
            .filter(|at| state.documents[*at].of == of)
            .map(|at| (state.documents[at].uuid, state.body(at)))
            .collect();
        for field in mapping.resource(resource).query_fields.values() {
            let values = |body: &Value| -> Vec<String> {
                let paths = field.paths.iter().flat_map(|query| state.values(body, &query.path));
                paths.map(|(_, value)| text(&value)).collect()
            };
            let Some(asked) = documents.iter().rev().find_map(|(_, body)| values(body).pop()) else { continue };
            let matches = |(_, body): &&(Option<Uuid>, Value)| values(body).iter().any(|value| equal(value, &asked));
            let expected: BTreeSet<Uuid> = documents.iter().filter(matches).filter_map(|(uuid, _)| *uuid).collect();
            let filters = vec![(field.name.clone(), asked.clone())];
            let request = QueryRequest { filters, limit: 500, ..QueryRequest::default() };
            let page =
                read::page(database.database(), mapping, &caches, &MemoryBudget::default(), resource, &request).await;
            let page = page.map_err(|error| format!("{}?{}={asked}: {error:?}", found.endpoint, field.name))?;
            let answered: BTreeSet<Uuid> = page.documents.iter().map(|document| document.uuid).collect();
            if answered != expected {
                let asked = format!("{}?{}={asked}", found.endpoint, field.name);
                return Err(format!("{asked} must return {expected:?}, not {answered:?}"));
            }
            counts.queries += 1;
        }
    }
    Ok(())
}

/// Formats a value for a query string.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => canonical_number(number.as_str()).unwrap_or_default(),
        other => other.to_string(),
    }
}

fn equal(a: &str, b: &str) -> bool {
    a == b || (a.starts_with("uri://") && lower_uri(a) == lower_uri(b))
}
