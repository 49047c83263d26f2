//! The index template: what all indexes have in common. Made, or compared with every difference named.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use millstream_pipeline::sink::SinkError;

use super::analysis;
use super::cluster::Cluster;
use super::request::Request;
use super::whose;
use millstream_pipeline::binding::Binding;

/// Settings of an index that the sink's promises stand on: if one of those is different, nothing is delivered. For so long
/// (`gc_deletes`) a node that runs remembers the version of a document that was deleted, so that nothing older brings it
/// back; it costs the node memory for each document deleted in that time.
const PROMISES: [(&str, &str, &str); 2] = [
    ("index.gc_deletes", "24h", "deletes have to be remembered"),
    ("index.translog.durability", "request", "what is answered has to be on disk"),
];

#[derive(Deserialize)]
struct Listing {
    index_templates: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    index_template: Template,
}

#[derive(Deserialize)]
struct Template {
    #[serde(default)]
    index_patterns: Vec<String>,
    #[serde(default)]
    template: Content,
    #[serde(default, rename = "_meta")]
    meta: Meta,
}

#[derive(Deserialize, Default)]
struct Content {
    #[serde(default)]
    settings: Value,
}

#[derive(Deserialize, Default)]
struct Meta {
    #[serde(default)]
    generations: u32,
    /// See [`whose`].
    source: Option<String>,
}

fn body(cluster: &Cluster, generations: u32) -> Value {
    let options = &cluster.options;
    json!({
        "index_patterns": [cluster.names.all_indexes()],
        "priority": 500,
        "_meta": { "generations": generations, "source": options.binding.as_ref().map(Binding::as_str) },
        "template": {
            "settings": { "index": {
                "number_of_shards": "1",
                "number_of_replicas": options.replicas.to_string(),
                "refresh_interval": format!("{}ms", options.refresh_interval.as_millis()),
                "gc_deletes": PROMISES[0].1,
                "translog": { "durability": PROMISES[1].1 },
                "analysis": analysis::settings(),
            } },
            "mappings": { "dynamic": false },
        },
    })
}

/// Makes the template if there is none, and names every difference if there is one.
pub(super) async fn ensure(cluster: &Cluster) -> Result<(), SinkError> {
    whose::look(cluster).await?;
    let Some(found) = get(cluster).await? else {
        put(cluster, 0).await?;
        tracing::info!(template = cluster.names.template(), "made the index template");
        // Another may have done the same just now.
        return whose::look(cluster).await;
    };
    // Another may have made it since.
    whose::judge(cluster, found.meta.source.as_deref())?;
    let wanted = body(cluster, 0);
    let mut differences = Vec::new();
    let patterns = [cluster.names.all_indexes()];
    if found.index_patterns != patterns {
        differences.push(format!("is for {:?}, it has to be for {patterns:?}", found.index_patterns));
    }
    let has = flat(&found.template.settings);
    for (name, wants) in flat(&wanted["template"]["settings"]) {
        match has.get(&name) {
            Some(has) if *has == wants => {}
            has => {
                let has = has.map_or("not set", String::as_str);
                differences.push(format!("has {name} {has}, wanted is {wants}"));
            }
        }
    }
    if differences.is_empty() {
        if found.meta.source.is_none() && cluster.options.binding.is_some() {
            put(cluster, found.meta.generations).await?;
        }
        return Ok(());
    }
    let name = cluster.names.template();
    let advice = format!(
        "either configure what it has, or delete it (DELETE /_index_template/{name}): Millstream makes it anew, for the indexes to come"
    );
    let named = differences.into_iter().map(|difference| format!("the index template {name} {difference}"));
    Err(cluster.unfit(named.chain([advice]).collect()))
}

/// The number of generations ever made.
pub(super) async fn generations(cluster: &Cluster) -> Result<u32, SinkError> {
    Ok(get(cluster).await?.map_or(0, |template| template.meta.generations))
}

/// Notes that so many generations were made: their numbers are not given again.
pub(super) async fn put(cluster: &Cluster, generations: u32) -> Result<(), SinkError> {
    let name = cluster.names.template();
    let request = Request::put(&["_index_template", name]).json(&body(cluster, generations));
    cluster.expect(request, "the index template could not be made").await.map(drop)
}

async fn get(cluster: &Cluster) -> Result<Option<Template>, SinkError> {
    let request = Request::get(&["_index_template", cluster.names.template()]);
    let answer = cluster.ask(request).await?;
    if answer.status == 404 {
        return Ok(None);
    }
    let listing: Listing = cluster.read(answer, "the index template could not be read")?;
    Ok(listing.index_templates.into_iter().next().map(|listed| listed.index_template))
}

/// Names what the indexes of a generation do not keep of the sink's promises.
pub(super) async fn check_promises(cluster: &Cluster, number: u32) -> Result<(), SinkError> {
    let indexes = cluster.names.generation_indexes(number);
    let names = PROMISES.map(|(name, _, _)| name).join(",");
    let request =
        Request::get(&[&indexes, "_settings", &names]).with("flat_settings", "true").with("include_defaults", "false");
    let found: BTreeMap<String, IndexSettings> =
        cluster.read(cluster.ask(request).await?, "the settings of the indexes could not be read")?;
    let mut differences = Vec::new();
    for (index, IndexSettings { settings }) in found {
        for (name, wants, why) in PROMISES {
            let has = settings.get(name).map(plain);
            if has.as_deref() != Some(wants) {
                let has = has.as_deref().unwrap_or("not set");
                differences.push(format!("{name} of {index} is {has}, it has to be {wants}, because {why}: set it"));
            }
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(cluster.unfit(differences)) }
}

#[derive(Deserialize)]
struct IndexSettings {
    #[serde(default)]
    settings: BTreeMap<String, Value>,
}

/// Settings by their dotted names, all as texts: that is how the node gives them back.
fn flat(settings: &Value) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    let mut open = vec![(String::new(), settings)];
    while let Some((name, value)) = open.pop() {
        match value {
            Value::Object(members) => open.extend(members.iter().map(|(member, value)| {
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
