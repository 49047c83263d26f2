//! Indexes, made when they are needed.

use opensearch::indices::{IndicesCreateParts, IndicesDeleteParts};
use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

use millstream_pipeline::sink::SinkError;

use super::aliases::{Moved, add, apply, only_while};
use super::cluster::Cluster;
use super::mapping::IndexMapping;
use super::names::DESCRIPTORS;
use millstream_pipeline::binding::Binding;

/// Names in the first line of one request, which a node takes 4 KiB of.
const NAMES_MAX: usize = 10;

/// What a request to make an index came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    Yes,
    /// Somebody else was quicker.
    Already,
}

/// What an index keeps about its making.
fn meta(cluster: &Cluster, mapping: &IndexMapping) -> Value {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({
        "created_at_ms": since_1970.as_millis() as u64,
        "schema_hash": cluster.options.model.schema_hash,
        "mapping_digest": mapping.digest,
        "source": cluster.options.binding.as_ref().map(Binding::as_str),
    })
}

/// Makes a generation: its index of descriptors, with the aliases that say so.
pub(super) async fn generation(cluster: &Cluster, number: u32, live: bool) -> Result<Made, SinkError> {
    let names = &cluster.names;
    let mut aliases = vec![names.generation(number), names.write(number, DESCRIPTORS)];
    if live {
        aliases.extend([names.live(), names.read(DESCRIPTORS)]);
    }
    let made = index(cluster, number, DESCRIPTORS, aliases).await?;
    if made == Made::Yes {
        tracing::info!(generation = number, prefix = names.template(), "made a generation of the search indexes");
    }
    Ok(made)
}

/// Makes the index of a type in a generation, and lets it be written to. Safe to be cut off anywhere, and to be done by
/// several at the same time.
///
/// # Errors
/// [`SinkError::Unfit`] when there is no such generation any more.
pub(super) async fn index_of_type(cluster: &Cluster, number: u32, stem: &str) -> Result<(), SinkError> {
    let names = &cluster.names;
    let (index_name, descriptors) = (names.index(number, stem), names.index(number, DESCRIPTORS));
    let made = index(cluster, number, stem, Vec::new()).await?;
    let write = add(&index_name, &names.write(number, stem));
    // In the live generation readers get it at once.
    let mut actions = only_while(&descriptors, &names.live()).to_vec();
    actions.extend([write.clone(), add(&index_name, &names.read(stem))]);
    if apply(cluster, actions).await? == Moved::Yes {
        return Ok(());
    }
    // If this one becomes live just now, whoever makes it so looks for such indexes afterwards.
    let mut actions = only_while(&descriptors, &names.generation(number)).to_vec();
    actions.push(write);
    if apply(cluster, actions).await? == Moved::Yes {
        return Ok(());
    }
    if made == Made::Yes {
        remove(cluster, &[&index_name]).await?;
    }
    Err(no_generation(cluster, number))
}

async fn index(cluster: &Cluster, number: u32, stem: &str, aliases: Vec<String>) -> Result<Made, SinkError> {
    let Some(mapping) = cluster.types.mapping(stem) else {
        return Err(cluster.broken(format!("the schema has no type for the index {stem}")));
    };
    let name = cluster.names.index(number, stem);
    let aliases: Map<String, Value> = aliases.into_iter().map(|alias| (alias, json!({}))).collect();
    let body = mapping.create(meta(cluster, mapping), Value::Object(aliases));
    let indices = cluster.client.api.indices();
    let answer = cluster.ask(indices.create(IndicesCreateParts::Index(&name)).body(body).send()).await?;
    if answer.is_ok() {
        Ok(Made::Yes)
    } else if answer.is_error("resource_already_exists_exception") {
        Ok(Made::Already)
    } else {
        Err(cluster.refused(&answer, &format!("the index {name} could not be made")))
    }
}

/// Removes indexes by their names. One that is gone already is removed.
pub(super) async fn remove(cluster: &Cluster, indexes: &[&str]) -> Result<(), SinkError> {
    for some in indexes.chunks(NAMES_MAX) {
        let indices = cluster.client.api.indices();
        let request = indices.delete(IndicesDeleteParts::Index(some)).ignore_unavailable(true).send();
        cluster.expect(request, "indexes could not be removed").await?;
    }
    Ok(())
}

pub(super) fn no_generation(cluster: &Cluster, number: u32) -> SinkError {
    cluster.unfit(vec![format!("there is no generation {number}: millstream index list shows those there are")])
}
