//! Every query field of every type, asked for a value that some document has.

use crate::shape::{Kind, Set};
use crate::trial::Account;
use crate::world::World;
use millstream_schema::plan::Mapping;
use millstream_schema::referential::{canonical_number, lower_uri};
use millstream_store::load::Caches;
use millstream_store::query::QueryRequest;
use millstream_store::read;
use millstream_testkit::TestDatabase;
use serde_json::Value;
use std::collections::BTreeSet;
use uuid::Uuid;

/// The reason, if an answer is not what the documents say.
pub(crate) async fn ask_all(
    set: &Set,
    world: &World<'_>,
    database: &TestDatabase,
    mapping: &Mapping,
    account: &mut Account,
) -> Result<(), String> {
    let caches = Caches::default();
    for (of, found) in set.types.iter().enumerate().filter(|(_, t)| matches!(t.kind, Kind::Concrete | Kind::SchoolYear))
    {
        let project = &set.projects[found.project].endpoint;
        let resource = mapping.route(project, &found.endpoint).ok_or("no route")?;
        let documents: Vec<(Option<Uuid>, Value)> = world
            .living()
            .into_iter()
            .filter(|at| world.documents[*at].of == of)
            .map(|at| (world.documents[at].uuid, world.body(at)))
            .collect();
        for field in mapping.resource(resource).query_fields.values() {
            let values = |body: &Value| -> Vec<String> {
                let paths = field.paths.iter().flat_map(|query| world.values(body, &query.path));
                paths.map(|(_, value)| text(&value)).collect()
            };
            let Some(asked) = documents.iter().rev().find_map(|(_, body)| values(body).pop()) else { continue };
            let meets = |(_, body): &&(Option<Uuid>, Value)| values(body).iter().any(|value| equal(value, &asked));
            let expected: BTreeSet<Uuid> = documents.iter().filter(meets).filter_map(|(uuid, _)| *uuid).collect();
            let filters = vec![(field.name.clone(), asked.clone())];
            let request = QueryRequest { filters, limit: 500, ..QueryRequest::default() };
            let page = read::page(database.database(), mapping, &caches, resource, &request).await;
            let page = page.map_err(|error| format!("{}?{}={asked}: {error:?}", found.endpoint, field.name))?;
            let answered: BTreeSet<Uuid> = page.documents.iter().map(|document| document.uuid).collect();
            if answered != expected {
                let asked = format!("{}?{}={asked}", found.endpoint, field.name);
                return Err(format!("{asked} should give {expected:?}, not {answered:?}"));
            }
            account.queries += 1;
        }
    }
    Ok(())
}

/// As it stands in a query string.
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
