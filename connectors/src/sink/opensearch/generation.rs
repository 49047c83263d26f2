//! The state of one generation: metadata, outdated mappings, sizes.

use std::collections::BTreeMap;

use serde::Deserialize;

use millstream_pipeline::sink::SinkError;

use super::cluster::Cluster;
use super::mapping_diff;
use super::names::DESCRIPTORS;
use super::request::Request;

/// Metadata of a generation.
#[derive(Debug, Default)]
pub(super) struct GenerationMeta {
    pub(super) created_at_ms: u64,
    pub(super) schema_hash: String,
    /// Indexes whose mapping differs from the schema's.
    pub(super) outdated: Vec<String>,
}

#[derive(Deserialize)]
struct IndexMetaBody {
    #[serde(default)]
    mappings: MetaMappings,
}

#[derive(Deserialize, Default)]
struct MetaMappings {
    #[serde(default, rename = "_meta")]
    meta: IndexMeta,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct IndexMeta {
    created_at_ms: u64,
    schema_hash: String,
    mapping_digest: String,
}

#[derive(Deserialize)]
struct CountResponse {
    count: u64,
}

/// Refreshes the indexes of a generation, so that searches find every earlier delivery.
pub(super) async fn refresh(cluster: &Cluster, number: u32) -> Result<(), SinkError> {
    let all = cluster.names.generation_indexes(number);
    cluster.expect(Request::post(&[&all, "_refresh"]), "cannot refresh the indexes").await.map(drop)
}

/// Describes the indexes of a generation whose mapping differs from the schema's.
pub(super) async fn outdated(cluster: &Cluster, number: u32) -> Result<Vec<String>, SinkError> {
    let mut descriptions = Vec::new();
    for index in meta(cluster, number).await?.outdated {
        let expected = cluster.names.parse(&index).and_then(|(_, stem)| cluster.types.mapping(stem));
        if let Some(expected) = expected {
            descriptions.push(mapping_diff::describe(cluster, &index, expected).await?);
        }
    }
    Ok(descriptions)
}

/// Reads the metadata of a generation.
pub(super) async fn meta(cluster: &Cluster, number: u32) -> Result<GenerationMeta, SinkError> {
    let all = cluster.names.generation_indexes(number);
    let request = Request::get(&[&all, "_mapping"]).with("filter_path", "*.mappings._meta");
    let found: BTreeMap<String, IndexMetaBody> =
        cluster.parse(cluster.send(request).await?, "cannot read the mappings")?;
    let mut generation = GenerationMeta::default();
    for (index, IndexMetaBody { mappings: MetaMappings { meta } }) in found {
        let Some((_, stem)) = cluster.names.parse(&index) else { continue };
        // An index of a resource that the schema no longer has is not outdated.
        let expected = cluster.types.mapping(stem);
        if expected.is_some_and(|expected| expected.digest != meta.mapping_digest) {
            generation.outdated.push(index.clone());
        }
        if stem == DESCRIPTORS {
            generation.created_at_ms = meta.created_at_ms;
            generation.schema_hash = meta.schema_hash;
        }
    }
    Ok(generation)
}

/// Returns the number of searchable documents, and the bytes of the primary shards.
pub(super) async fn sizes(cluster: &Cluster, number: u32) -> Result<(u64, u64), SinkError> {
    #[derive(Deserialize)]
    struct StatsResponse {
        #[serde(rename = "_all")]
        all: AllStats,
    }
    #[derive(Deserialize)]
    struct AllStats {
        primaries: PrimaryStats,
    }
    #[derive(Deserialize)]
    struct PrimaryStats {
        store: StoreStats,
    }
    #[derive(Deserialize)]
    struct StoreStats {
        size_in_bytes: u64,
    }
    let all = cluster.names.generation_indexes(number);
    let count = Request::get(&[&all, "_count"]);
    let CountResponse { count } = cluster.parse(cluster.send(count).await?, "cannot count the documents")?;
    let stats = Request::get(&[&all, "_stats", "store"]);
    let stats: StatsResponse = cluster.parse(cluster.send(stats).await?, "cannot read the index sizes")?;
    Ok((count, stats.all.primaries.store.size_in_bytes))
}
