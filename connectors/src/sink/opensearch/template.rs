//! The index template with the settings of all indexes: created, or compared with every difference listed.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use millstream_pipeline::sink::SinkError;

use super::analysis;
use super::cluster::Cluster;
use super::ownership;
use super::request::Request;
use millstream_pipeline::binding::Binding;

/// Index settings that the sink's guarantees depend on: if one differs, the sink does not deliver. `gc_deletes` is the
/// time that a running node keeps the version of a deleted document, so that an older version cannot bring it back; it
/// costs the node memory for each document deleted in that time.
const REQUIRED_SETTINGS: [(&str, &str, &str); 2] = [
    ("index.gc_deletes", "24h", "the node has to keep the versions of deletes"),
    ("index.translog.durability", "request", "a confirmed write has to be on disk"),
];

/// Priority of the template, unless a template of the host has it for the same indexes.
const PRIORITY: u64 = 500;

#[derive(Deserialize)]
struct TemplateListing {
    index_templates: Vec<ListedTemplate>,
}

#[derive(Deserialize)]
struct ListedTemplate {
    name: String,
    index_template: IndexTemplate,
}

#[derive(Deserialize)]
struct IndexTemplate {
    #[serde(default)]
    index_patterns: Vec<String>,
    #[serde(default)]
    priority: u64,
    #[serde(default)]
    template: TemplateContent,
    #[serde(default, rename = "_meta")]
    meta: TemplateMeta,
}

#[derive(Deserialize, Default)]
struct TemplateContent {
    #[serde(default)]
    settings: Value,
}

#[derive(Deserialize, Default)]
struct TemplateMeta {
    #[serde(default)]
    generations: u32,
    /// See [`ownership`].
    source: Option<String>,
}

/// Returns the settings of every index. They are in the template and in the request that creates an index: a template of
/// the host may win over this one.
pub(super) fn index_settings(cluster: &Cluster) -> Map<String, Value> {
    let options = &cluster.options;
    let settings = json!({
        "number_of_shards": "1",
        "number_of_replicas": options.replicas.to_string(),
        "refresh_interval": format!("{}ms", options.refresh_interval.as_millis()),
        "gc_deletes": REQUIRED_SETTINGS[0].1,
        "translog": { "durability": REQUIRED_SETTINGS[1].1 },
        "analysis": analysis::settings(),
    });
    match settings {
        Value::Object(settings) => settings,
        _ => Map::new(),
    }
}

fn body(cluster: &Cluster, priority: u64, generations: u32) -> Value {
    json!({
        "index_patterns": [cluster.names.all_indexes()],
        "priority": priority,
        "_meta": { "generations": generations, "source": cluster.options.binding.as_ref().map(Binding::as_str) },
        "template": {
            "settings": { "index": index_settings(cluster) },
            "mappings": { "dynamic": false },
        },
    })
}

/// Returns the priority that the template needs to win over the host's templates for the same indexes, which it names in
/// the log: of two templates with one priority the node refuses the second.
async fn priority(cluster: &Cluster) -> Result<u64, SinkError> {
    let response = cluster.send(Request::get(&["_index_template"])).await?;
    // A user may have the privilege for this template alone.
    if matches!(response.status, 403 | 404) {
        return Ok(PRIORITY);
    }
    let listing: TemplateListing = cluster.parse(response, "cannot read the index templates")?;
    let own = cluster.names.all_indexes();
    let rivals = listing.index_templates.into_iter().filter(|listed| {
        listed.name != cluster.names.template()
            && listed.index_template.priority >= PRIORITY
            && listed.index_template.index_patterns.iter().any(|pattern| patterns_overlap(pattern, &own))
    });
    let rivals: Vec<(String, u64)> = rivals.map(|listed| (listed.name, listed.index_template.priority)).collect();
    let Some(highest) = rivals.iter().map(|(_, priority)| *priority).max() else { return Ok(PRIORITY) };
    let priority = highest.saturating_add(1);
    let conflicting: Vec<String> = rivals.iter().map(|(name, priority)| format!("{name} ({priority})")).collect();
    tracing::warn!(
        template = cluster.names.template(),
        priority,
        conflicting = conflicting.join(", "),
        "index templates of the host match these indexes too; giving the own template a higher priority"
    );
    Ok(priority)
}

/// Whether some name matches both patterns, in which `*` stands for any characters.
fn patterns_overlap(first: &str, second: &str) -> bool {
    let (first, second): (Vec<char>, Vec<char>) = (first.chars().collect(), second.chars().collect());
    // Row `i`, column `j`: whether the first `i` characters of one and the first `j` of the other overlap.
    let mut overlaps = vec![vec![false; second.len() + 1]; first.len() + 1];
    for i in 0..=first.len() {
        for j in 0..=second.len() {
            let skips_first = i > 0 && (first[i - 1] == '*' || (j > 0 && second[j - 1] == '*')) && overlaps[i - 1][j];
            let skips_second = j > 0 && (second[j - 1] == '*' || (i > 0 && first[i - 1] == '*')) && overlaps[i][j - 1];
            let same = i > 0 && j > 0 && first[i - 1] == second[j - 1] && overlaps[i - 1][j - 1];
            overlaps[i][j] = (i == 0 && j == 0) || skips_first || skips_second || same;
        }
    }
    overlaps[first.len()][second.len()]
}

/// Creates the template if it is missing; otherwise compares it and lists every difference.
pub(super) async fn ensure(cluster: &Cluster) -> Result<(), SinkError> {
    ownership::verify(cluster).await?;
    let Some(found) = get(cluster).await? else {
        put(cluster, 0).await?;
        tracing::info!(template = cluster.names.template(), "created the index template");
        // Another process may have created it at the same time.
        return ownership::verify(cluster).await;
    };
    // Another process may have created it since.
    ownership::compare(cluster, found.meta.source.as_deref())?;
    let expected = body(cluster, PRIORITY, 0);
    let mut differences = Vec::new();
    let patterns = [cluster.names.all_indexes()];
    if found.index_patterns != patterns {
        differences.push(format!("is for {:?}, but must be for {patterns:?}", found.index_patterns));
    }
    let has = flatten(&found.template.settings);
    for (name, wants) in flatten(&expected["template"]["settings"]) {
        match has.get(&name) {
            Some(has) if *has == wants => {}
            has => {
                let has = has.map_or("not set", String::as_str);
                differences.push(format!("has {name} {has}, but {wants} is configured"));
            }
        }
    }
    if differences.is_empty() {
        let is_unnamed = found.meta.source.is_none() && cluster.options.binding.is_some();
        if is_unnamed || found.priority < priority(cluster).await? {
            put(cluster, found.meta.generations).await?;
        }
        return Ok(());
    }
    let name = cluster.names.template();
    let advice = format!(
        "either configure the values that it has, or delete it (DELETE /_index_template/{name}): Millstream creates it again, for future indexes"
    );
    let named = differences.into_iter().map(|difference| format!("the index template {name} {difference}"));
    Err(cluster.incompatible(named.chain([advice]).collect()))
}

/// Returns the number of generations ever created.
pub(super) async fn generations(cluster: &Cluster) -> Result<u32, SinkError> {
    Ok(get(cluster).await?.map_or(0, |template| template.meta.generations))
}

/// Records the number of generations ever created, so that no number is used twice.
pub(super) async fn put(cluster: &Cluster, generations: u32) -> Result<(), SinkError> {
    let name = cluster.names.template();
    let priority = priority(cluster).await?;
    let request = Request::put(&["_index_template", name]).json(&body(cluster, priority, generations));
    cluster.expect(request, "cannot write the index template").await.map(drop)
}

async fn get(cluster: &Cluster) -> Result<Option<IndexTemplate>, SinkError> {
    let response = cluster.send(Request::get(&["_index_template", cluster.names.template()])).await?;
    if response.status == 404 {
        return Ok(None);
    }
    let listing: TemplateListing = cluster.parse(response, "cannot read the index template")?;
    Ok(listing.index_templates.into_iter().next().map(|listed| listed.index_template))
}

/// Checks the required settings of the indexes of a generation and lists every difference.
pub(super) async fn check_settings(cluster: &Cluster, number: u32) -> Result<(), SinkError> {
    let indexes = cluster.names.generation_indexes(number);
    let names = REQUIRED_SETTINGS.map(|(name, _, _)| name).join(",");
    let request =
        Request::get(&[&indexes, "_settings", &names]).with("flat_settings", "true").with("include_defaults", "false");
    let found: BTreeMap<String, IndexSettings> =
        cluster.parse(cluster.send(request).await?, "cannot read the settings of the indexes")?;
    let mut differences = Vec::new();
    for (index, IndexSettings { settings }) in found {
        for (name, wants, why) in REQUIRED_SETTINGS {
            let has = settings.get(name).map(plain);
            if has.as_deref() != Some(wants) {
                let has = has.as_deref().unwrap_or("not set");
                differences.push(format!("{name} of {index} is {has}, but must be {wants}, because {why}: set it"));
            }
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(cluster.incompatible(differences)) }
}

#[derive(Deserialize)]
struct IndexSettings {
    #[serde(default)]
    settings: BTreeMap<String, Value>,
}

/// Returns settings by their dotted names, with text values, as the node reports them.
fn flatten(settings: &Value) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    let mut pending = vec![(String::new(), settings)];
    while let Some((name, value)) = pending.pop() {
        match value {
            Value::Object(members) => pending.extend(members.iter().map(|(member, value)| {
                let name = if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
                (name, value)
            })),
            value => drop(flat.insert(name, plain(value))),
        }
    }
    flat
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_overlap_if_a_name_matches_both() {
        for pattern in ["*", "millstream*", "millstream.g*", "mill*am.g1.*", "*.students", "millstream.g1.x", "**"] {
            assert!(patterns_overlap(pattern, "millstream.g*"), "{pattern}");
        }
        for pattern in ["logs-*", "millstream", "millstream.read.*", "other.g*", ""] {
            assert!(!patterns_overlap(pattern, "millstream.g*"), "{pattern}");
        }
    }
}
