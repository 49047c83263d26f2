//! The existing generations and the live one, stored as aliases.
//!
//! The cluster applies the actions of one request atomically. A removal with `must_exist` is therefore a condition on
//! the whole request: removing and adding the same alias checks that it still exists.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use millstream_pipeline::sink::SinkError;

use super::cluster::Cluster;
use super::errors;
use super::names::DESCRIPTORS;
use super::request::Request;

/// The indexes under the prefix and their aliases.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Aliases(BTreeMap<String, IndexAliases>);

#[derive(Debug, Deserialize)]
struct IndexAliases {
    #[serde(default)]
    aliases: BTreeMap<String, Value>,
}

impl Aliases {
    /// Fetches the present state.
    pub(super) async fn fetch(cluster: &Cluster) -> Result<Self, SinkError> {
        let all = cluster.names.all_indexes();
        let response = cluster.send(Request::get(&[&all, "_alias"])).await?;
        if response.status == 404 {
            return Ok(Self::default());
        }
        cluster.parse(response, "cannot list the indexes")
    }

    /// Returns the stems of the indexes of a generation.
    pub(super) fn stems(&self, cluster: &Cluster, number: u32) -> Vec<String> {
        let parsed = self.0.keys().filter_map(|index| cluster.names.parse(index));
        parsed.filter(|(found, _)| *found == number).map(|(_, stem)| stem.to_owned()).collect()
    }

    /// Returns the numbers of all indexes, including those of partly removed generations.
    pub(super) fn numbers(&self, cluster: &Cluster) -> BTreeSet<u32> {
        self.0.keys().filter_map(|index| cluster.names.parse(index)).map(|(number, _)| number).collect()
    }

    /// Returns the complete generations.
    pub(super) fn generations(&self, cluster: &Cluster) -> Vec<u32> {
        let numbers = self.numbers(cluster).into_iter();
        numbers.filter(|number| self.0.contains_key(&cluster.names.index(*number, DESCRIPTORS))).collect()
    }

    /// Returns the generations with the live alias, ascending. There are several if two processes created the first one
    /// at the same time.
    pub(super) fn all_live(&self, cluster: &Cluster) -> Vec<u32> {
        let live = cluster.names.live();
        let holders = self.0.iter().filter(|(_, index)| index.aliases.contains_key(&live));
        let numbers: BTreeSet<u32> =
            holders.filter_map(|(index, _)| cluster.names.parse(index)).map(|(number, _)| number).collect();
        numbers.into_iter().collect()
    }

    /// Returns the live generation; `None` if there are no generations.
    pub(super) fn live(&self, cluster: &Cluster) -> Result<Option<u32>, SinkError> {
        let live = cluster.names.live();
        match self.all_live(cluster)[..] {
            [number] => Ok(Some(number)),
            [] if self.generations(cluster).is_empty() => Ok(None),
            [] => Err(cluster.incompatible(vec![format!(
                "no generation has the alias {live}: swap one in (millstream index swap)"
            )])),
            _ => Err(cluster.incompatible(vec![format!(
                "several generations have the alias {live}: swap one of them in (millstream index swap)"
            )])),
        }
    }

    /// Returns the stems of a generation that lack their alias for readers.
    fn without_read_alias(&self, cluster: &Cluster, number: u32) -> Vec<String> {
        let mut stems = self.stems(cluster, number);
        stems.retain(|stem| {
            let index = self.0.get(&cluster.names.index(number, stem));
            index.is_none_or(|index| !index.aliases.contains_key(&cluster.names.read(stem)))
        });
        stems
    }
}

/// The result of an alias update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AliasUpdate {
    Applied,
    /// A condition did not hold; nothing was changed.
    ConditionFailed,
}

/// Applies all actions or none.
pub(super) async fn apply(cluster: &Cluster, actions: Vec<Value>) -> Result<AliasUpdate, SinkError> {
    let response = cluster.send(Request::post(&["_aliases"]).json(&json!({ "actions": actions }))).await?;
    if response.is_ok() {
        Ok(AliasUpdate::Applied)
    } else if errors::UNMET_CONDITION.iter().any(|kind| response.is_error(kind)) {
        Ok(AliasUpdate::ConditionFailed)
    } else {
        Err(cluster.refused(&response, "cannot change the aliases"))
    }
}

/// Returns actions that change nothing, and fail unless this index has this alias.
pub(super) fn require(index: &str, alias: &str) -> [Value; 2] {
    [json!({ "remove": { "index": index, "alias": alias, "must_exist": true } }), add(index, alias)]
}

pub(super) fn add(index: &str, alias: &str) -> Value {
    json!({ "add": { "index": index, "alias": alias } })
}

/// Makes a generation live, with all its indexes in one atomic update.
pub(super) async fn make_live(cluster: &Cluster, number: u32) -> Result<AliasUpdate, SinkError> {
    let (names, aliases) = (&cluster.names, Aliases::fetch(cluster).await?);
    let (all, descriptors) = (names.all_indexes(), names.index(number, DESCRIPTORS));
    let mut actions = require(&descriptors, &names.generation(number)).to_vec();
    // A removal without a match is an error, and there may be none of these aliases yet.
    if aliases.0.values().any(|index| index.aliases.contains_key(&names.live())) {
        actions.push(json!({ "remove": { "index": all, "alias": names.live() } }));
    }
    if aliases.0.values().any(|index| index.aliases.keys().any(|alias| alias.starts_with(&names.read("")))) {
        actions.push(json!({ "remove": { "index": all, "alias": names.all_reads() } }));
    }
    actions.push(add(&descriptors, &names.live()));
    let stems = aliases.stems(cluster, number);
    actions.extend(stems.iter().map(|stem| add(&names.index(number, stem), &names.read(stem))));
    apply(cluster, actions).await
}

/// Adds the read aliases of indexes that were created while the generation became live. Indexes of a live generation
/// get theirs when they are created.
pub(super) async fn add_read_aliases(cluster: &Cluster, number: u32) -> Result<(), SinkError> {
    let names = &cluster.names;
    loop {
        let missing = Aliases::fetch(cluster).await?.without_read_alias(cluster, number);
        if missing.is_empty() {
            return Ok(());
        }
        let mut actions = require(&names.index(number, DESCRIPTORS), &names.live()).to_vec();
        actions.extend(missing.iter().map(|stem| add(&names.index(number, stem), &names.read(stem))));
        if apply(cluster, actions).await? == AliasUpdate::ConditionFailed {
            // Another generation became live meanwhile; the process that swapped it in adds its aliases.
            return Ok(());
        }
    }
}
