//! A database with the documents of this repository's small schema in it.

use super::{Planted, Planter, compile, provision};
use millstream_schema::plan::Mapping;
use millstream_store::compose::{Composed, compose_documents};
use millstream_store::connect::Database;
use millstream_store::error::StoreError;
use millstream_store::load::{Caches, heads_by_id};
use millstream_store::table::cache::{CacheOutcome, CacheRow, SameVersion, upsert};
use millstream_testkit::{TestDatabase, corpus};
use serde_json::Value;
use std::sync::{Arc, LazyLock};

/// The documents of the small schema, in a database of their own.
pub(crate) struct World {
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) planted: Vec<Planted>,
    test: TestDatabase,
}

impl World {
    /// Nothing is cached yet.
    pub(crate) async fn new() -> Self {
        static COMPILED: LazyLock<super::Compiled> = LazyLock::new(|| compile(&corpus::fixtures().schema_paths()));
        let compiled = &*COMPILED;
        let test = TestDatabase::from_template("world", |database| async move {
            provision(database.clone(), compiled).await?;
            plant(&compiled.mapping).flush(&database).await;
            database.get().await?.batch_execute("ANALYZE").await?;
            Ok::<_, StoreError>(())
        })
        .await;
        let planted = plant(&compiled.mapping).planted;
        Self { mapping: Arc::clone(&compiled.mapping), planted, test }
    }

    /// Everything is cached.
    pub(crate) async fn cached() -> Self {
        let world = Self::new().await;
        let composed = world.compose_all().await;
        let outcomes = world.store(&composed, SameVersion::Keep).await;
        assert!(outcomes.iter().all(|outcome| *outcome == CacheOutcome::Stored));
        world
    }

    pub(crate) fn database(&self) -> &Database {
        self.test.database()
    }

    /// Runs SQL.
    pub(crate) async fn execute(&self, sql: &str) {
        let client = self.database().get().await.expect("connected");
        client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Runs SQL without foreign keys being checked.
    pub(crate) async fn damage(&self, sql: &str) {
        self.execute(&format!("BEGIN; SET LOCAL session_replication_role = replica; {sql}; COMMIT")).await;
    }

    /// The documents of a type.
    pub(crate) fn of_type<'a>(&'a self, resource: &'a str) -> impl Iterator<Item = &'a Planted> {
        self.planted.iter().filter(move |planted| self.type_of(planted) == resource)
    }

    /// The first document of a type.
    pub(crate) fn first(&self, resource: &str) -> &Planted {
        let first = self.planted.iter().find(|planted| self.type_of(planted) == resource);
        first.unwrap_or_else(|| panic!("no {resource}"))
    }

    pub(crate) fn type_of(&self, planted: &Planted) -> &str {
        &self.mapping.resource(planted.resource).resource_name
    }

    /// Composes documents, with nothing remembered.
    pub(crate) async fn compose(&self, ids: &[i64]) -> Vec<Composed> {
        let client = self.database().get().await.expect("connected");
        let heads = heads_by_id(&client, ids).await.expect("heads");
        compose_documents(&client, &self.mapping, &Caches::default(), heads).await.expect("composed")
    }

    pub(crate) async fn compose_all(&self) -> Vec<Composed> {
        let ids: Vec<i64> = self.planted.iter().map(|planted| planted.document_id).collect();
        self.compose(&ids).await
    }

    /// Stores composed bodies in the cache.
    pub(crate) async fn store(&self, composed: &[Composed], same_version: SameVersion) -> Vec<CacheOutcome> {
        let client = self.database().get().await.expect("connected");
        let rows: Vec<CacheRow<'_>> = composed
            .iter()
            .map(|composed| CacheRow { head: &composed.head, body: composed.body.as_ref().expect("a body") })
            .collect();
        upsert(&client, &rows, same_version).await.expect("stored")
    }
}

fn plant(mapping: &Arc<Mapping>) -> Planter {
    let mut planter = Planter::new(Arc::clone(mapping));
    for path in corpus::fixtures().document_paths() {
        for document in corpus::read(&path).expect("the fixtures are readable") {
            let document = document.expect("a document");
            let resource = mapping.route(&document.project, &document.resource).expect("a known endpoint");
            let body: Value = serde_json::from_slice(document.body()).expect("JSON");
            planter.plant(resource, body);
        }
    }
    planter
}
