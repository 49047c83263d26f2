//! A database with all documents of the fixtures, cached, and the repairer.

use millstream_projector::cascade::stamp_page;
use millstream_schema::plan::Mapping;
use millstream_store::compose::compose_documents;
use millstream_store::connect::Database;
use millstream_store::error::StoreError;
use millstream_store::load::{Caches, heads_after};
use millstream_store::table::cache::{CacheRow, SameVersion, upsert};
use millstream_store::verify::{Report, VerifyOptions, verify};
use millstream_testkit::{TestDatabase, World, corpus};
use millstream_writer::{Preconditions, Repairer, Writer, WriterOptions};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// All documents of the fixtures, written by the writer and cached.
pub(crate) struct Loaded {
    pub(crate) repairer: Repairer,
    mapping: Arc<Mapping>,
    database: TestDatabase,
}

impl Loaded {
    pub(crate) async fn new() -> Self {
        Self::with_strict_max(WriterOptions::default().strict_max).await
    }

    /// With at most so many referrers stamped by the repair itself; for more it opens a cascade.
    pub(crate) async fn with_strict_max(strict_max: usize) -> Self {
        Self::with_options(WriterOptions { strict_max, ..WriterOptions::default() }).await
    }

    pub(crate) async fn with_options(options: WriterOptions) -> Self {
        let world = World::fixtures();
        let database =
            TestDatabase::from_template("repair", |database| async move { load(world, database).await }).await;
        let mapping = Arc::clone(&world.mapping);
        let repairer = Repairer::new(database.database().clone(), Arc::clone(&mapping), options);
        Self { repairer, mapping, database }
    }

    pub(crate) const fn test_database(&self) -> &TestDatabase {
        &self.database
    }

    pub(crate) fn database(&self) -> &Database {
        self.database.database()
    }

    /// Runs SQL without foreign keys being checked.
    pub(crate) async fn damage(&self, sql: &str) {
        let client = self.database().get().await.expect("connected");
        let sql = format!("BEGIN; SET LOCAL session_replication_role = replica; {sql}; COMMIT");
        client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The first document of a type.
    pub(crate) async fn first(&self, resource: &str) -> (i64, Uuid) {
        self.two(resource).await[0]
    }

    /// The first two documents of a type, if there are two.
    pub(crate) async fn two(&self, resource: &str) -> Vec<(i64, Uuid)> {
        let client = self.database().get().await.expect("connected");
        let sql = r#"SELECT d."DocumentId", d."DocumentUuid" FROM "dms"."Document" d JOIN "dms"."ResourceKey" k USING ("ResourceKeyId")
                      WHERE k."ResourceName" = $1 ORDER BY 1 LIMIT 2"#;
        let rows = client.query(sql, &[&resource]).await.expect("documents");
        assert!(!rows.is_empty(), "no {resource}");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// The documents with an edge to this one.
    pub(crate) async fn referrers(&self, id: i64) -> Vec<Uuid> {
        let client = self.database().get().await.expect("connected");
        let sql = r#"SELECT d."DocumentUuid" FROM "dms"."ReferenceEdge" e JOIN "dms"."Document" d ON d."DocumentId" = e."ParentDocumentId"
                      WHERE e."ChildDocumentId" = $1"#;
        client.query(sql, &[&id]).await.expect("edges").iter().map(|row| row.get(0)).collect()
    }

    /// The version of every document.
    pub(crate) async fn versions(&self) -> BTreeMap<Uuid, i64> {
        let client = self.database().get().await.expect("connected");
        let rows = client.query(r#"SELECT "DocumentUuid", "ContentVersion" FROM "dms"."Document""#, &[]).await;
        rows.expect("documents").iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    pub(crate) async fn audit(&self) -> Report {
        verify(self.database(), &self.mapping, &VerifyOptions::default(), &mut |_| {}).await.expect("verified")
    }

    /// Does the projector's work: all cascades, then all bodies, damaged ones too.
    pub(crate) async fn project(&self) {
        while stamp_page(self.database(), 3).await.expect("worked off").is_some() {}
        cache_all(self.database(), &self.mapping).await.expect("cached");
    }

    /// Checks that every version that was drawn has its change record (ATOMIC).
    pub(crate) async fn check_outbox(&self) {
        let client = self.database().get().await.expect("connected");
        let sql = r#"SELECT count(*) FROM "dms"."Document" d WHERE NOT EXISTS (SELECT FROM "dms"."Outbox" o
                      WHERE o."DocumentId" = d."DocumentId" AND o."ContentVersion" = d."ContentVersion")"#;
        let silent: i64 = client.query_one(sql, &[]).await.expect("counted").get(0);
        assert_eq!(silent, 0, "versions without a change record");
    }
}

async fn load(world: &World, database: Database) -> Result<(), StoreError> {
    millstream_store::provision::apply(&database, &world.schema, &world.ddl).await.expect("provisioned");
    let writer = Writer::new(database.clone(), Arc::clone(&world.mapping), WriterOptions::default());
    let writer = writer.expect("schemas compile");
    for path in world.corpus.document_paths() {
        for document in corpus::read(&path).expect("readable") {
            let document = document.expect("a document");
            let resource = world.mapping.route(&document.project, &document.resource).expect("a route");
            writer.post(resource, document.body(), &Preconditions::default()).await.expect("written");
        }
    }
    cache_all(&database, &world.mapping).await
}

/// Composes and stores the bodies of all documents.
async fn cache_all(database: &Database, mapping: &Mapping) -> Result<(), StoreError> {
    let client = database.get().await?;
    let heads = heads_after(&client, i64::MIN, 100_000).await?;
    // Documents that cannot be composed keep their cached bodies.
    let composed = compose_documents(&client, mapping, &Caches::default(), heads).await?;
    let rows: Vec<CacheRow<'_>> = composed
        .iter()
        .filter_map(|composed| Some(CacheRow { head: &composed.head, body: composed.body.as_ref().ok()? }))
        .collect();
    upsert(&client, &rows, SameVersion::Repair).await?;
    Ok(())
}
