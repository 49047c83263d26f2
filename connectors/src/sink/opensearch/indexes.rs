//! The generations of the indexes under one prefix.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use serde_json::json;

use millstream_pipeline::sink::generations::{Generation, Generations};
use millstream_pipeline::sink::{Sink, SinkError};

use super::aliases::{AliasUpdate, Aliases, add_read_aliases, apply, make_live, require};
use super::cluster::Cluster;
use super::create_index::{self, IndexCreation, create_generation, no_generation};
use super::generation::{self, GenerationMeta, refresh, sizes};
use super::names::DESCRIPTORS;
use super::options::{OpenSearchOptions, OpenSearchOptionsError};
use super::ownership;
use super::sink::OpenSearchSink;
use super::template;

/// Maximum attempts to create a generation while other processes create one too.
const CREATE_ATTEMPTS: usize = 10;

/// All indexes under one prefix: their generations, and the search engine on the live one.
#[derive(Clone)]
pub struct OpenSearchIndexes {
    pub(super) cluster: Arc<Cluster>,
}

impl OpenSearchIndexes {
    /// Creates the handle. It connects with the first request.
    ///
    /// # Errors
    /// The options are invalid; the error lists every fault.
    pub fn new(options: OpenSearchOptions) -> Result<Self, OpenSearchOptionsError> {
        Ok(Self { cluster: Arc::new(Cluster::new(options)?) })
    }

    async fn ensure_live(&self) -> Result<u32, SinkError> {
        let cluster = &*self.cluster;
        cluster.check_version().await?;
        template::ensure(cluster).await?;
        for _ in 0..CREATE_ATTEMPTS {
            let aliases = Aliases::fetch(cluster).await?;
            if let live @ [_, _, ..] = &aliases.all_live(cluster)[..]
                && let Some(number) = generation_in_use(cluster, live).await?
            {
                tracing::warn!(generation = number, ?live, "several processes created a live generation; keeping one");
                make_live(cluster, number).await?;
                continue;
            }
            if let Some(number) = aliases.live(cluster)? {
                return Ok(number);
            }
            // Numbers are not reused, even if every generation was removed.
            let number = template::generations(cluster).await? + 1;
            template::put(cluster, number).await?;
            create_generation(cluster, number, true).await?;
        }
        Err(cluster.broken("the created generation cannot be found".to_owned()))
    }

    async fn create_next(&self) -> Result<u32, SinkError> {
        let cluster = &*self.cluster;
        self.ensure_live().await?;
        for _ in 0..CREATE_ATTEMPTS {
            let last = Aliases::fetch(cluster).await?.numbers(cluster).last().copied().unwrap_or(0);
            let number = template::generations(cluster).await?.max(last) + 1;
            template::put(cluster, number).await?;
            if create_generation(cluster, number, false).await? == IndexCreation::Created {
                return Ok(number);
            }
        }
        Err(cluster.unavailable("other processes create generations at the same time: try again".to_owned()))
    }

    async fn list_all(&self) -> Result<Vec<Generation>, SinkError> {
        let cluster = &*self.cluster;
        ownership::check(cluster).await?;
        let aliases = Aliases::fetch(cluster).await?;
        // Lists them also if none or several are live, so that an operator can repair that.
        let all_live = aliases.all_live(cluster);
        let mut generations = Vec::new();
        for number in aliases.generations(cluster) {
            let GenerationMeta { created_at_ms, schema_hash, outdated } = generation::meta(cluster, number).await?;
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
        ownership::check(cluster).await?;
        // Searches must find the most recent deliveries too.
        refresh(cluster, number).await?;
        if make_live(cluster, number).await? == AliasUpdate::ConditionFailed {
            return Err(no_generation(cluster, number));
        }
        tracing::info!(generation = number, prefix = cluster.names.template(), "swapped in a generation");
        add_read_aliases(cluster, number).await
    }

    async fn remove_generation(&self, number: u32) -> Result<(), SinkError> {
        let cluster = &*self.cluster;
        ownership::check(cluster).await?;
        let (names, aliases) = (&cluster.names, Aliases::fetch(cluster).await?);
        if !aliases.numbers(cluster).contains(&number) {
            return Err(no_generation(cluster, number));
        }
        if aliases.generations(cluster).contains(&number) {
            let live = aliases.live(cluster)?;
            let is_live =
                || cluster.incompatible(vec![format!("generation {number} is live: swap in another one first")]);
            let Some(live) = live.filter(|live| *live != number) else { return Err(is_live()) };
            // Removes it only while another one is live. Without its descriptors, no further index of it is created.
            let descriptors = names.index(number, DESCRIPTORS);
            let mut actions = require(&names.index(live, DESCRIPTORS), &names.live()).to_vec();
            actions.push(json!({ "remove_index": { "index": descriptors } }));
            if apply(cluster, actions).await? == AliasUpdate::ConditionFailed {
                return Err(cluster.unavailable("another generation became live meanwhile: try again".to_owned()));
            }
        }
        loop {
            let stems = Aliases::fetch(cluster).await?.stems(cluster, number);
            let rest: Vec<String> = stems.iter().map(|stem| names.index(number, stem)).collect();
            if rest.is_empty() {
                tracing::info!(generation = number, prefix = names.template(), "removed a generation");
                return Ok(());
            }
            create_index::remove(cluster, &rest.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        }
    }
}

/// Selects one of several live generations that concurrent processes created: the one with documents, or the first.
/// `None` if more than one has documents, for example after a restored snapshot: an operator has to choose.
async fn generation_in_use(cluster: &Cluster, live: &[u32]) -> Result<Option<u32>, SinkError> {
    let mut non_empty = Vec::new();
    for number in live {
        refresh(cluster, *number).await?;
        if sizes(cluster, *number).await?.0 > 0 {
            non_empty.push(*number);
        }
    }
    Ok(match non_empty[..] {
        [] => live.first().copied(),
        [one] => Some(one),
        _ => None,
    })
}

impl Generations for OpenSearchIndexes {
    fn describe(&self) -> String {
        self.cluster.describe()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Generation>, SinkError>> {
        self.list_all().boxed()
    }

    fn create(&self) -> BoxFuture<'_, Result<u32, SinkError>> {
        self.create_next().boxed()
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
        self.remove_generation(number).boxed()
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
