//! Which database the indexes are a copy of ([`millstream_pipeline::binding`]).
//!
//! The template says it, and so does every index, since a template may be deleted and made anew. Neither did in earlier
//! versions; the template says it then from the next start on.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use millstream_pipeline::sink::SinkError;
use opensearch::indices::{IndicesGetIndexTemplateParts, IndicesGetMappingParts};
use serde_json::Value;

use super::cluster::Cluster;

/// How long what says nothing is left alone.
const ASK_AGAIN: Duration = Duration::from_secs(60);

const ELSEWHERE: &str = "give this one a prefix of its own (opensearch.prefix), or delete the indexes and their template if that database is gone";

/// What was found last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Known {
    #[default]
    Nothing,
    Ours,
    /// They did not say, or may not be asked.
    Unsaid(Instant),
}

/// As [`look`], but what was found to be ours is not asked again, and what says nothing not for a while.
///
/// # Errors
/// As [`look`].
pub(super) async fn check(cluster: &Cluster) -> Result<(), SinkError> {
    match *known(cluster) {
        Known::Ours => return Ok(()),
        Known::Unsaid(at) if at.elapsed() < ASK_AGAIN => return Ok(()),
        Known::Unsaid(_) | Known::Nothing => {}
    }
    look(cluster).await
}

fn known(cluster: &Cluster) -> MutexGuard<'_, Known> {
    // Whoever panics with it has set it or not.
    cluster.whose.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refuses the indexes of another database.
///
/// # Errors
/// [`SinkError::Unfit`] when they are another's; when the node does not answer.
pub(super) async fn look(cluster: &Cluster) -> Result<(), SinkError> {
    if cluster.options.binding.is_none() {
        return Ok(());
    }
    let found = match of_template(cluster).await? {
        None => of_indexes(cluster).await?,
        found => found,
    };
    let Some(found) = found else {
        *known(cluster) = Known::Unsaid(Instant::now());
        return Ok(());
    };
    let judged = judge(cluster, Some(&found));
    *known(cluster) = if judged.is_ok() { Known::Ours } else { Known::Nothing };
    judged
}

/// Refuses what says of itself that it is another database's.
pub(super) fn judge(cluster: &Cluster, source: Option<&str>) -> Result<(), SinkError> {
    let binding = cluster.options.binding.as_ref().zip(source);
    match binding.and_then(|(binding, source)| binding.difference(source, ELSEWHERE)) {
        None => Ok(()),
        Some(foreign) => Err(cluster.unfit(vec![foreign])),
    }
}

/// As the node that is asked knows it: no other has to be there.
async fn of_template(cluster: &Cluster) -> Result<Option<String>, SinkError> {
    let name = [cluster.names.template()];
    let indices = cluster.client.api.indices();
    let request = indices.get_index_template(IndicesGetIndexTemplateParts::Name(&name)).local(true).send();
    let answer = cluster.ask(request).await?;
    // Who may only search may not read it; the indexes say it too.
    if matches!(answer.status, 403 | 404) {
        return Ok(None);
    }
    let found: Value = cluster.read(answer, "the index template could not be read")?;
    let source = &found["index_templates"][0]["index_template"]["_meta"]["source"];
    Ok(source.as_str().map(str::to_owned))
}

async fn of_indexes(cluster: &Cluster) -> Result<Option<String>, SinkError> {
    let all = cluster.names.all_indexes();
    let indices = cluster.client.api.indices();
    let name = [all.as_str()];
    let request = indices.get_mapping(IndicesGetMappingParts::Index(&name)).filter_path(&["*.mappings._meta.source"]);
    let answer = cluster.ask(request.send()).await?;
    if answer.status == 403 {
        tracing::warn!(
            indexes = all,
            "whose documents these are cannot be asked: the user needs the right to read the index template or the mappings"
        );
        return Ok(None);
    }
    let found: BTreeMap<String, Value> = cluster.read(answer, "the mappings could not be read")?;
    Ok(found.values().find_map(|index| index["mappings"]["_meta"]["source"].as_str()).map(str::to_owned))
}
