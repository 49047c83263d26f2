//! Which generations there are and which is live: read from the aliases, and moved with them.
//!
//! The cluster applies the actions of one request together or not at all. A removal that `must_exist` is therefore a
//! condition on all of them: what is removed and added again in the same request asks "is this still so?".

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use millstream_pipeline::sink::SinkError;

use super::cluster::Cluster;
use super::names::DESCRIPTORS;
use super::request::Request;

/// The indexes under the prefix, with their aliases.
#[derive(Debug, Default)]
pub(super) struct Aliases(BTreeMap<String, IndexAliases>);

#[derive(Debug, Deserialize)]
struct IndexAliases {
    #[serde(default)]
    aliases: BTreeMap<String, Value>,
}

impl Aliases {
    /// As the cluster has them now.
    pub(super) async fn get(cluster: &Cluster) -> Result<Self, SinkError> {
        let all = cluster.names.all_indexes();
        let answer = cluster.ask(Request::get(&[&all, "_alias"])).await?;
        if answer.status == 404 {
            return Ok(Self::default());
        }
        cluster.read(answer, "the indexes could not be listed").map(Self)
    }

    /// Stems of the indexes of a generation.
    pub(super) fn stems(&self, cluster: &Cluster, number: u32) -> Vec<String> {
        let parsed = self.0.keys().filter_map(|index| cluster.names.parse(index));
        parsed.filter(|(found, _)| *found == number).map(|(_, stem)| stem.to_owned()).collect()
    }

    /// Numbers that any index has, those of generations that were only half removed included.
    pub(super) fn numbers(&self, cluster: &Cluster) -> BTreeSet<u32> {
        self.0.keys().filter_map(|index| cluster.names.parse(index)).map(|(number, _)| number).collect()
    }

    /// The generations that are whole.
    pub(super) fn generations(&self, cluster: &Cluster) -> Vec<u32> {
        let numbers = self.numbers(cluster).into_iter();
        numbers.filter(|number| self.0.contains_key(&cluster.names.index(*number, DESCRIPTORS))).collect()
    }

    /// The generations that have the alias of the live one, in order: several if two processes made the first at once.
    pub(super) fn all_live(&self, cluster: &Cluster) -> Vec<u32> {
        let live = cluster.names.live();
        let holders = self.0.iter().filter(|(_, index)| index.aliases.contains_key(&live));
        let numbers: BTreeSet<u32> =
            holders.filter_map(|(index, _)| cluster.names.parse(index)).map(|(number, _)| number).collect();
        numbers.into_iter().collect()
    }

    /// The live generation; `None` while there is nothing at all.
    pub(super) fn live(&self, cluster: &Cluster) -> Result<Option<u32>, SinkError> {
        let live = cluster.names.live();
        match self.all_live(cluster)[..] {
            [number] => Ok(Some(number)),
            [] if self.generations(cluster).is_empty() => Ok(None),
            [] => {
                Err(cluster
                    .unfit(vec![format!("no generation has the alias {live}: swap one in (millstream index swap)")]))
            }
            _ => Err(cluster.unfit(vec![format!(
                "several generations have the alias {live}: swap one of them in (millstream index swap)"
            )])),
        }
    }

    /// Stems of a generation whose alias for readers is missing.
    fn unread(&self, cluster: &Cluster, number: u32) -> Vec<String> {
        let mut stems = self.stems(cluster, number);
        stems.retain(|stem| {
            let index = self.0.get(&cluster.names.index(number, stem));
            index.is_none_or(|index| !index.aliases.contains_key(&cluster.names.read(stem)))
        });
        stems
    }
}

/// What became of a request to move aliases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    Yes,
    /// A condition did not hold, and nothing was done.
    No,
}

/// Carries out all actions or none.
pub(super) async fn apply(cluster: &Cluster, actions: Vec<Value>) -> Result<Moved, SinkError> {
    let answer = cluster.ask(Request::post(&["_aliases"]).json(&json!({ "actions": actions }))).await?;
    let unmet = ["aliases_not_found_exception", "index_not_found_exception"];
    if answer.is_ok() {
        Ok(Moved::Yes)
    } else if unmet.iter().any(|kind| answer.is_error(kind)) {
        Ok(Moved::No)
    } else {
        Err(cluster.refused(&answer, "the aliases could not be changed"))
    }
}

/// Actions that do nothing, and only as long as this index has this alias.
pub(super) fn only_while(index: &str, alias: &str) -> [Value; 2] {
    [json!({ "remove": { "index": index, "alias": alias, "must_exist": true } }), add(index, alias)]
}

pub(super) fn add(index: &str, alias: &str) -> Value {
    json!({ "add": { "index": index, "alias": alias } })
}

/// Makes a generation the live one: all of it at the same moment.
pub(super) async fn make_live(cluster: &Cluster, number: u32) -> Result<Moved, SinkError> {
    let (names, aliases) = (&cluster.names, Aliases::get(cluster).await?);
    let (all, descriptors) = (names.all_indexes(), names.index(number, DESCRIPTORS));
    let mut actions = only_while(&descriptors, &names.generation(number)).to_vec();
    // A removal that finds nothing is an error of its own, and of these there may be none yet.
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

/// Gives readers the indexes that were made while the generation became live. Whoever makes an index of a generation that
/// is live already does it himself.
pub(super) async fn open_to_readers(cluster: &Cluster, number: u32) -> Result<(), SinkError> {
    let names = &cluster.names;
    loop {
        let unread = Aliases::get(cluster).await?.unread(cluster, number);
        if unread.is_empty() {
            return Ok(());
        }
        let mut actions = only_while(&names.index(number, DESCRIPTORS), &names.live()).to_vec();
        actions.extend(unread.iter().map(|stem| add(&names.index(number, stem), &names.read(stem))));
        if apply(cluster, actions).await? == Moved::No {
            // Another one has become live meanwhile, and its readers are somebody else's care.
            return Ok(());
        }
    }
}
