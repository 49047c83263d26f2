//! One rename: the documents that embed the old name, the PUT, and the reads after its response.

use super::{
    catch_up::catch_up,
    choice::{Choice, identity_query},
    client::{Client, Read},
    output::say,
};
use crate::{failure::Failure, text::grouped};
use millstream_schema::plan::{Mapping, ResourcePlan};
use serde_json::{Map, Value};
use std::{io::Write, path::Path, time::Instant};

/// Longest part of the old name in the new one: names in Ed-Fi have at most 60 characters.
const KEPT_CHARS: usize = 40;

/// The result of a rename.
#[derive(Debug)]
pub(super) struct Renamed {
    /// Bodies rebuilt because of it.
    pub(super) rebuilt: u64,
}

/// A dependent that is shown.
struct Shown<'m> {
    plan: &'m ResourcePlan,
    id: String,
    before: Read,
}

/// Renames the document and shows its dependents before and after.
pub(super) async fn show(
    mapping: &Mapping,
    client: &Client,
    data_dir: &Path,
    choice: &Choice,
    out: &mut (dyn Write + Send),
) -> Result<Renamed, Failure> {
    let plan = mapping.resource(choice.resource);
    let id = find(client, plan, &choice.body).await?;
    let read = client.read(&plan.project_endpoint, &plan.endpoint, &id).await?;
    let old = read.body.get(&choice.member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let new = format!("{} (renamed)", old.chars().take(KEPT_CHARS).collect::<String>());
    say(
        out,
        &format!(
            "   {} \"{old}\", embedded in {} documents, becomes \"{new}\"",
            plan.endpoint,
            grouped(choice.dependents)
        ),
    )?;
    let mut shown = Vec::new();
    for (ix, body, _) in &choice.shown {
        let plan = mapping.resource(*ix);
        let id = find(client, plan, body).await?;
        let before = client.read(&plan.project_endpoint, &plan.endpoint, &id).await?;
        shown.push(Shown { plan, id, before });
    }

    let stored_before = catch_up(data_dir).await?.stored;
    let started = Instant::now();
    replace(client, plan, &id, &read, &choice.member, &new).await?;
    let answered = started.elapsed();

    let mut firsts = Vec::new();
    for ((_, _, count), shown) in choice.shown.iter().zip(&shown) {
        let first = client.read(&shown.plan.project_endpoint, &shown.plan.endpoint, &shown.id).await?;
        let text = compare(shown, &first, &choice.member, &new)?;
        say(out, &format!("     {} ({} such): {text}", shown.plan.endpoint, grouped(*count)))?;
        firsts.push(first);
    }
    let caught = catch_up(data_dir).await?;
    let rebuilt = caught.stored.saturating_sub(stored_before);
    let all = caught.last_stored.saturating_duration_since(started);
    for (shown, first) in shown.iter().zip(&firsts) {
        let cached = client.read(&shown.plan.project_endpoint, &shown.plan.endpoint, &shown.id).await?;
        if cached.bytes != first.bytes {
            return Err(Failure::failed(format!(
                "{} {} reads differently out of the cache",
                shown.plan.endpoint, shown.id
            )));
        }
    }
    say(
        out,
        &format!(
            "     answered after {} ms; {} bodies rebuilt in the cache {} ms later, and they read the same from there",
            answered.as_millis(),
            grouped(rebuilt),
            all.saturating_sub(answered).as_millis()
        ),
    )?;
    // The next load refers to the document by its old name.
    let read = client.read(&plan.project_endpoint, &plan.endpoint, &id).await?;
    replace(client, plan, &id, &read, &choice.member, &old).await?;
    let back = catch_up(data_dir).await?.stored.saturating_sub(caught.stored);
    say(out, &format!("     and back to \"{old}\", for the next load: {} bodies rebuilt", grouped(back)))?;
    Ok(Renamed { rebuilt: rebuilt + back })
}

/// Replaces one member of a document, if the document has not changed since it was read.
async fn replace(
    client: &Client,
    plan: &ResourcePlan,
    id: &str,
    read: &Read,
    member: &str,
    value: &str,
) -> Result<(), Failure> {
    let mut body = read.body.clone();
    if let Some(body) = body.as_object_mut() {
        body.insert(member.to_owned(), Value::String(value.to_owned()));
        body.retain(|name, _| !matches!(name.as_str(), "_etag" | "_lastModifiedDate"));
    }
    client.replace(&plan.project_endpoint, &plan.endpoint, id, read, &body).await
}

async fn find(client: &Client, plan: &ResourcePlan, body: &Value) -> Result<String, Failure> {
    let query = identity_query(plan, body);
    let mut ids = client.find(&plan.project_endpoint, &plan.endpoint, &query).await?;
    match (ids.pop(), ids.is_empty()) {
        (Some(id), true) => Ok(id),
        (found, _) => Err(Failure::failed(format!(
            "{} document matches the identity {query:?} of {}",
            if found.is_some() { "more than one" } else { "no" },
            plan.endpoint
        ))),
    }
}

/// Describes what a reader sees after the rename; an error if it is wrong.
fn compare(shown: &Shown<'_>, after: &Read, member: &str, new: &str) -> Result<String, Failure> {
    let embeds = |body: &Value| embedding(body, member, new).cloned();
    let Some(object) = embeds(&after.body) else {
        return Err(Failure::failed(format!(
            "{} {} still has the old name after the rename",
            shown.plan.endpoint, shown.id
        )));
    };
    if after.etag == shown.before.etag {
        return Err(Failure::failed(format!("{} {} has a new body and the old etag", shown.plan.endpoint, shown.id)));
    }
    Ok(format!("etag {} became {}, {}", shown.before.etag, after.etag, Value::Object(object)))
}

/// Returns the object inside a body whose member has this value.
fn embedding<'v>(value: &'v Value, member: &str, wanted: &str) -> Option<&'v Map<String, Value>> {
    match value {
        Value::Object(object) if object.get(member).and_then(Value::as_str) == Some(wanted) => Some(object),
        Value::Object(object) => object.values().find_map(|value| embedding(value, member, wanted)),
        Value::Array(items) => items.iter().find_map(|value| embedding(value, member, wanted)),
        _ => None,
    }
}
