//! Creation and deletion of indexes.

use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

use millstream_pipeline::sink::SinkError;

use super::aliases::{AliasUpdate, add, apply, require};
use super::cluster::Cluster;
use super::errors;
use super::mapping::IndexMapping;
use super::names::DESCRIPTORS;
use super::request::Request;
use super::template;
use millstream_pipeline::binding::Binding;

/// Index names per request. A node limits the request line to 4 KiB.
const NAMES_MAX: usize = 10;

/// The result of creating an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexCreation {
    Created,
    /// Another process created it first.
    Existed,
}

/// Returns the metadata that an index keeps about its creation.
fn meta(cluster: &Cluster, mapping: &IndexMapping) -> Value {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({
        "created_at_ms": since_1970.as_millis() as u64,
        "schema_hash": cluster.options.model.schema_hash,
        "mapping_digest": mapping.digest,
        "source": cluster.options.binding.as_ref().map(Binding::as_str),
    })
}

/// Creates a generation: its index of descriptors, with the aliases that mark it.
pub(super) async fn create_generation(cluster: &Cluster, number: u32, live: bool) -> Result<IndexCreation, SinkError> {
    let names = &cluster.names;
    let mut aliases = vec![names.generation(number), names.write(number, DESCRIPTORS)];
    if live {
        aliases.extend([names.live(), names.read(DESCRIPTORS)]);
    }
    let creation = create(cluster, number, DESCRIPTORS, aliases).await?;
    if creation == IndexCreation::Created {
        tracing::info!(generation = number, prefix = names.template(), "created a generation of the search indexes");
    }
    Ok(creation)
}

/// Creates the index of a resource in a generation and adds its write alias. Idempotent, and safe to interrupt at any
/// point or to run in several processes.
///
/// # Errors
/// [`SinkError::Incompatible`] if the generation no longer exists.
pub(super) async fn create_resource_index(cluster: &Cluster, number: u32, stem: &str) -> Result<(), SinkError> {
    let names = &cluster.names;
    let (index_name, descriptors) = (names.index(number, stem), names.index(number, DESCRIPTORS));
    let creation = create(cluster, number, stem, Vec::new()).await?;
    let write = add(&index_name, &names.write(number, stem));
    // In the live generation the index gets its read alias at once.
    let mut actions = require(&descriptors, &names.live()).to_vec();
    actions.extend([write.clone(), add(&index_name, &names.read(stem))]);
    if apply(cluster, actions).await? == AliasUpdate::Applied {
        return Ok(());
    }
    // If the generation becomes live just now, the process that swaps it in adds missing read aliases afterwards.
    let mut actions = require(&descriptors, &names.generation(number)).to_vec();
    actions.push(write);
    if apply(cluster, actions).await? == AliasUpdate::Applied {
        return Ok(());
    }
    if creation == IndexCreation::Created {
        remove(cluster, &[&index_name]).await?;
    }
    Err(no_generation(cluster, number))
}

async fn create(cluster: &Cluster, number: u32, stem: &str, aliases: Vec<String>) -> Result<IndexCreation, SinkError> {
    let Some(mapping) = cluster.types.mapping(stem) else {
        return Err(cluster.broken(format!("the schema has no resource for the index {stem}")));
    };
    let name = cluster.names.index(number, stem);
    let aliases: Map<String, Value> = aliases.into_iter().map(|alias| (alias, json!({}))).collect();
    let settings = template::index_settings(cluster);
    let body = mapping.create(settings, meta(cluster, mapping), Value::Object(aliases));
    let response = cluster.send(Request::put(&[&name]).json(&body)).await?;
    if response.is_ok() {
        Ok(IndexCreation::Created)
    } else if response.is_error(errors::ALREADY_EXISTS) {
        Ok(IndexCreation::Existed)
    } else {
        Err(cluster.refused(&response, &format!("cannot create the index {name}")))
    }
}

/// Deletes indexes by name. A missing index is not an error.
pub(super) async fn remove(cluster: &Cluster, indexes: &[&str]) -> Result<(), SinkError> {
    for some in indexes.chunks(NAMES_MAX) {
        let request = Request::delete(&[&some.join(",")]).with("ignore_unavailable", "true");
        cluster.expect(request, "cannot delete indexes").await?;
    }
    Ok(())
}

pub(super) fn no_generation(cluster: &Cluster, number: u32) -> SinkError {
    cluster.incompatible(vec![format!(
        "generation {number} does not exist: list the generations with millstream index list"
    )])
}
