//! Ownership: the check that the indexes are a copy of this database ([`millstream_pipeline::binding`]).
//!
//! The template names the database, and so does every index, because a template may be deleted and created again.
//! Earlier versions wrote neither; the template then gets the name at the next start.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millstream_pipeline::sink::SinkError;
use serde_json::Value;

use super::cluster::{Cluster, Ownership};
use super::request::Request;

/// Interval between two checks of indexes that name no database.
const RECHECK_INTERVAL: Duration = Duration::from_secs(60);

const REMEDY: &str = "give this one a prefix of its own (opensearch.prefix), or delete the indexes and their template if that database is gone";

/// Like [`verify`], with a cached result: indexes of this database are not checked again, and indexes that name no
/// database only after an interval.
///
/// # Errors
/// Like [`verify`].
pub(super) async fn check(cluster: &Cluster) -> Result<(), SinkError> {
    match *cluster.ownership.lock() {
        Ownership::Own => return Ok(()),
        Ownership::Unstated(at) if at.elapsed() < RECHECK_INTERVAL => return Ok(()),
        Ownership::Unstated(_) | Ownership::Unknown => {}
    }
    verify(cluster).await
}

/// Refuses the indexes of another database.
///
/// # Errors
/// [`SinkError::Incompatible`] if they belong to another database; an error if the node does not respond.
pub(super) async fn verify(cluster: &Cluster) -> Result<(), SinkError> {
    if cluster.options.binding.is_none() {
        return Ok(());
    }
    let found = match of_template(cluster).await? {
        None => of_indexes(cluster).await?,
        found => found,
    };
    let Some(found) = found else {
        *cluster.ownership.lock() = Ownership::Unstated(Instant::now());
        return Ok(());
    };
    let compared = compare(cluster, Some(&found));
    *cluster.ownership.lock() = if compared.is_ok() { Ownership::Own } else { Ownership::Unknown };
    compared
}

/// Compares the database named by the template or an index with this one.
pub(super) fn compare(cluster: &Cluster, source: Option<&str>) -> Result<(), SinkError> {
    let binding = cluster.options.binding.as_ref().zip(source);
    match binding.and_then(|(binding, source)| binding.difference(source, REMEDY)) {
        None => Ok(()),
        Some(difference) => Err(cluster.incompatible(vec![difference])),
    }
}

/// Reads the template from the node's local state, which needs no other node.
async fn of_template(cluster: &Cluster) -> Result<Option<String>, SinkError> {
    let request = Request::get(&["_index_template", cluster.names.template()]).with("local", "true");
    let response = cluster.send(request).await?;
    // A user with search privileges only may not read it; the indexes name the database too.
    if matches!(response.status, 403 | 404) {
        return Ok(None);
    }
    let found: Value = cluster.parse(response, "cannot read the index template")?;
    let source = &found["index_templates"][0]["index_template"]["_meta"]["source"];
    Ok(source.as_str().map(str::to_owned))
}

async fn of_indexes(cluster: &Cluster) -> Result<Option<String>, SinkError> {
    let all = cluster.names.all_indexes();
    let request = Request::get(&[&all, "_mapping"]).with("filter_path", "*.mappings._meta.source");
    let response = cluster.send(request).await?;
    if response.status == 403 {
        tracing::warn!(
            indexes = all,
            "cannot check which database the indexes belong to: grant the user the privilege to read the index template or the mappings"
        );
        return Ok(None);
    }
    let found: BTreeMap<String, Value> = cluster.parse(response, "cannot read the mappings")?;
    Ok(found.values().find_map(|index| index["mappings"]["_meta"]["source"].as_str()).map(str::to_owned))
}
