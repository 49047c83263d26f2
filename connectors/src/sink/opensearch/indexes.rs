//! The generations of the indexes under one prefix.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use serde::Deserialize;
use serde_json::json;

use millstream_pipeline::sink::generations::{Generation, Generations};
use millstream_pipeline::sink::{Sink, SinkError};

use super::aliases::{Aliases, Moved, apply, make_live, only_while, open_to_readers};
use super::cluster::Cluster;
use super::difference;
use super::make::{self, Made, no_generation};
use super::names::DESCRIPTORS;
use super::options::{OpenSearchOptions, OptionsError};
use super::request::Request;
use super::sink::OpenSearchSink;
use super::template;
use super::whose;

/// Attempts to make a generation while others make one too.
const TRIES: usize = 10;

/// All indexes under one prefix: their generations, and the searches that are answered from the live one.
#[derive(Clone)]
pub struct OpenSearchIndexes {
    pub(super) cluster: Arc<Cluster>,
}

/// What the indexes of a generation say of themselves.
#[derive(Debug, Default)]
struct Standing {
    created_at_ms: u64,
    schema_hash: String,
    /// Those whose mapping is not what the schema gives.
    outdated: Vec<String>,
}

#[derive(Deserialize)]
struct IndexMappings {
    #[serde(default)]
    mappings: Mappings,
}

#[derive(Deserialize, Default)]
struct Mappings {
    #[serde(default, rename = "_meta")]
    meta: Meta,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Meta {
    created_at_ms: u64,
    schema_hash: String,
    mapping_digest: String,
}

#[derive(Deserialize)]
struct Counted {
    count: u64,
}

impl OpenSearchIndexes {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// With everything that is wrong with the options.
    pub fn new(options: OpenSearchOptions) -> Result<Self, OptionsError> {
        Ok(Self { cluster: Arc::new(Cluster::new(options)?) })
    }

    async fn ensure_live(&self) -> Result<u32, SinkError> {
        let cluster = &*self.cluster;
        cluster.check_version().await?;
        template::ensure(cluster).await?;
        for _ in 0..TRIES {
            let aliases = Aliases::get(cluster).await?;
            if let live @ [_, _, ..] = &aliases.all_live(cluster)[..]
                && let Some(number) = the_one_in_use(cluster, live).await?
            {
                tracing::warn!(
                    generation = number,
                    ?live,
                    "several processes made a live generation: one of them stays"
                );
                make_live(cluster, number).await?;
                continue;
            }
            if let Some(number) = aliases.live(cluster)? {
                return Ok(number);
            }
            // A number that was given before is not given again, even if all of it was removed.
            let number = template::generations(cluster).await? + 1;
            template::put(cluster, number).await?;
            make::generation(cluster, number, true).await?;
        }
        Err(cluster.broken("the generation that was made cannot be found".to_owned()))
    }

    async fn add_generation(&self) -> Result<u32, SinkError> {
        let cluster = &*self.cluster;
        self.ensure_live().await?;
        for _ in 0..TRIES {
            let there = Aliases::get(cluster).await?.numbers(cluster).last().copied().unwrap_or(0);
            let number = template::generations(cluster).await?.max(there) + 1;
            template::put(cluster, number).await?;
            if make::generation(cluster, number, false).await? == Made::Yes {
                return Ok(number);
            }
        }
        Err(cluster.unavailable("others make generations at the same time: try again".to_owned()))
    }

    async fn all(&self) -> Result<Vec<Generation>, SinkError> {
        let cluster = &*self.cluster;
        whose::check(cluster).await?;
        let aliases = Aliases::get(cluster).await?;
        // Also when none is live, or several are: whoever shall mend that has to see them.
        let all_live = aliases.all_live(cluster);
        let mut generations = Vec::new();
        for number in aliases.generations(cluster) {
            let Standing { created_at_ms, schema_hash, outdated } = standing(cluster, number).await?;
            let (documents, bytes) = sizes(cluster, number).await?;
            let (live, mapping_current) = (all_live.contains(&number), outdated.is_empty());
            generations.push(Generation {
                number,
                live,
                created_at_ms,
                documents,
                bytes,
                schema_hash,
                mapping_current,
            });
        }
        Ok(generations)
    }

    async fn swap_in(&self, number: u32) -> Result<(), SinkError> {
        let cluster = &*self.cluster;
        whose::check(cluster).await?;
        // What was made a moment ago is to be found as well.
        refresh(cluster, number).await?;
        if make_live(cluster, number).await? == Moved::No {
            return Err(no_generation(cluster, number));
        }
        tracing::info!(generation = number, prefix = cluster.names.template(), "searches are answered from it now");
        open_to_readers(cluster, number).await
    }

    async fn take_away(&self, number: u32) -> Result<(), SinkError> {
        let cluster = &*self.cluster;
        whose::check(cluster).await?;
        let (names, aliases) = (&cluster.names, Aliases::get(cluster).await?);
        if !aliases.numbers(cluster).contains(&number) {
            return Err(no_generation(cluster, number));
        }
        if aliases.generations(cluster).contains(&number) {
            let live = aliases.live(cluster)?;
            let is_live = || cluster.unfit(vec![format!("generation {number} is live: swap another one in first")]);
            let Some(live) = live.filter(|live| *live != number) else { return Err(is_live()) };
            // It goes only as long as another one is live, and from then on nothing more is made of it.
            let descriptors = names.index(number, DESCRIPTORS);
            let mut actions = only_while(&names.index(live, DESCRIPTORS), &names.live()).to_vec();
            actions.push(json!({ "remove_index": { "index": descriptors } }));
            if apply(cluster, actions).await? == Moved::No {
                return Err(cluster.unavailable("another generation became live meanwhile: try again".to_owned()));
            }
        }
        loop {
            let stems = Aliases::get(cluster).await?.stems(cluster, number);
            let rest: Vec<String> = stems.iter().map(|stem| names.index(number, stem)).collect();
            if rest.is_empty() {
                tracing::info!(generation = number, prefix = names.template(), "removed a generation");
                return Ok(());
            }
            make::remove(cluster, &rest.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        }
    }
}

/// Of several live generations that processes made which did not see each other: the one that holds documents, or the
/// first. None where more than one holds some: which of them is right (a snapshot may have been restored) is not known here.
async fn the_one_in_use(cluster: &Cluster, live: &[u32]) -> Result<Option<u32>, SinkError> {
    let mut holding = Vec::new();
    for number in live {
        refresh(cluster, *number).await?;
        if sizes(cluster, *number).await?.0 > 0 {
            holding.push(*number);
        }
    }
    Ok(match holding[..] {
        [] => live.first().copied(),
        [one] => Some(one),
        _ => None,
    })
}

/// Makes everything that was delivered to a generation findable.
pub(super) async fn refresh(cluster: &Cluster, number: u32) -> Result<(), SinkError> {
    let all = cluster.names.generation_indexes(number);
    let request = Request::post(&[&all, "_refresh"]);
    cluster.expect(request, "the indexes could not be refreshed").await.map(drop)
}

/// Names the indexes of a generation whose mapping is not what the schema gives, each with what is different.
pub(super) async fn outdated(cluster: &Cluster, number: u32) -> Result<Vec<String>, SinkError> {
    let mut named = Vec::new();
    for index in standing(cluster, number).await?.outdated {
        let wanted = cluster.names.parse(&index).and_then(|(_, stem)| cluster.types.mapping(stem));
        if let Some(wanted) = wanted {
            named.push(difference::name(cluster, &index, wanted).await?);
        }
    }
    Ok(named)
}

async fn standing(cluster: &Cluster, number: u32) -> Result<Standing, SinkError> {
    let all = cluster.names.generation_indexes(number);
    let request = Request::get(&[&all, "_mapping"]).with("filter_path", "*.mappings._meta");
    let found: BTreeMap<String, IndexMappings> =
        cluster.read(cluster.ask(request).await?, "the mappings could not be read")?;
    let mut standing = Standing::default();
    for (index, IndexMappings { mappings: Mappings { meta } }) in found {
        let Some((_, stem)) = cluster.names.parse(&index) else { continue };
        // A type that the schema has no more does no harm.
        let wanted = cluster.types.mapping(stem);
        if wanted.is_some_and(|wanted| wanted.digest != meta.mapping_digest) {
            standing.outdated.push(index.clone());
        }
        if stem == DESCRIPTORS {
            standing.created_at_ms = meta.created_at_ms;
            standing.schema_hash = meta.schema_hash;
        }
    }
    Ok(standing)
}

/// Documents that can be found, and bytes without copies.
async fn sizes(cluster: &Cluster, number: u32) -> Result<(u64, u64), SinkError> {
    #[derive(Deserialize)]
    struct Stats {
        #[serde(rename = "_all")]
        all: All,
    }
    #[derive(Deserialize)]
    struct All {
        primaries: Primaries,
    }
    #[derive(Deserialize)]
    struct Primaries {
        store: Store,
    }
    #[derive(Deserialize)]
    struct Store {
        size_in_bytes: u64,
    }
    let all = cluster.names.generation_indexes(number);
    let count = Request::get(&[&all, "_count"]);
    let Counted { count } = cluster.read(cluster.ask(count).await?, "the documents could not be counted")?;
    let stats = Request::get(&[&all, "_stats", "store"]);
    let stats: Stats = cluster.read(cluster.ask(stats).await?, "the sizes could not be read")?;
    Ok((count, stats.all.primaries.store.size_in_bytes))
}

impl Generations for OpenSearchIndexes {
    fn describe(&self) -> String {
        self.cluster.describe()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Generation>, SinkError>> {
        self.all().boxed()
    }

    fn create(&self) -> BoxFuture<'_, Result<u32, SinkError>> {
        self.add_generation().boxed()
    }

    fn sink(&self, number: u32) -> Result<Arc<dyn Sink>, SinkError> {
        if number == 0 {
            return Err(no_generation(&self.cluster, number));
        }
        Ok(Arc::new(OpenSearchSink::new(Arc::clone(&self.cluster), number)))
    }

    fn swap(&self, number: u32) -> BoxFuture<'_, Result<(), SinkError>> {
        self.swap_in(number).boxed()
    }

    fn remove(&self, number: u32) -> BoxFuture<'_, Result<(), SinkError>> {
        self.take_away(number).boxed()
    }

    fn live(&self) -> BoxFuture<'_, Result<u32, SinkError>> {
        self.ensure_live().boxed()
    }
}

impl std::fmt::Debug for OpenSearchIndexes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenSearchIndexes").field("options", &self.cluster.options).finish_non_exhaustive()
    }
}
