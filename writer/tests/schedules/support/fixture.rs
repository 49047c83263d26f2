//! Provisioned databases with the schemas of the schedules.

use millstream_pipeline::memory::MemoryBudget;
use millstream_projector::cascade::stamp_page;
use millstream_schema::apischema::{self, EffectiveSchema};
use millstream_schema::plan::{self, Mapping, ResourceIx};
use millstream_schema::{ddl, model};
use millstream_store::connect::Database;
use millstream_store::load::Caches;
use millstream_store::provision;
use millstream_store::read::{self, ReadDocument};
use millstream_store::verify::{VerifyOptions, verify};
use millstream_testkit::{TestDatabase, World};
use millstream_writer::{Preconditions, WriteError, Writer, WriterOptions, Written};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_postgres::types::{FromSqlOwned, ToSql};
use uuid::Uuid;

/// Limit of a single step.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// Longest wait for a lock: longer than any schedule.
const PATIENCE: Duration = Duration::from_secs(600);

/// The isolation levels that a host may have made the default of its role or database. Schedules must not depend on it,
/// so each database gets the next one.
const DEFAULT_ISOLATION: [&str; 4] = ["repeatable read", "serializable", "read committed", "read uncommitted"];

/// Compiles the wheel schema: hubs, spokes with a hub in their identity, rims that refer to both from outside their
/// identity, and axles, whose identity cannot change.
fn wheel_schema() -> &'static (EffectiveSchema, Arc<Mapping>, String) {
    static SCHEMA: OnceLock<(EffectiveSchema, Arc<Mapping>, String)> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schedules/support/wheel.ApiSchema.json");
        let schema = apischema::load(&[file]).unwrap_or_else(|errors| panic!("{errors}"));
        let model = model::derive(&schema).unwrap_or_else(|errors| panic!("{errors}"));
        let mapping = Arc::new(plan::compile(&schema, &model));
        let ddl = ddl::postgres(&model);
        (schema, mapping, ddl)
    })
}

/// Creates a database of the wheel schema.
pub(crate) async fn wheel() -> Fixture {
    let (schema, mapping, ddl) = wheel_schema();
    let database = TestDatabase::from_template("wheel", |database| async move {
        provision::apply(&database, schema, ddl).await.map(drop)
    });
    let database = database.await;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let level = DEFAULT_ISOLATION[NEXT.fetch_add(1, Ordering::Relaxed) % DEFAULT_ISOLATION.len()];
    let sql =
        format!("ALTER DATABASE \"{}\" SET default_transaction_isolation = '{level}'", database.options().dbname());
    database.session().await.batch_execute(&sql).await.expect("the default is set");
    Fixture::new(database, Arc::clone(mapping))
}

/// Creates a database of the fixtures: sessions, class periods and schools with equality constraints between them.
pub(crate) async fn meadow() -> Fixture {
    let world = World::fixtures();
    Fixture::new(world.database().await, Arc::clone(&world.mapping))
}

/// A database with a writer that passes no gates.
pub(crate) struct Fixture {
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) caches: Caches,
    /// Writer that stamps referrers itself, up to the default bound.
    pub(crate) strict: Writer,
    database: TestDatabase,
}

impl Fixture {
    fn new(database: TestDatabase, mapping: Arc<Mapping>) -> Self {
        let [strict, _] = writers(database.database(), &mapping);
        Self { mapping, caches: Caches::default(), strict, database }
    }

    pub(crate) fn db(&self) -> &Database {
        self.database.database()
    }

    pub(crate) fn test_database(&self) -> &TestDatabase {
        &self.database
    }

    /// Returns the resource with this endpoint in any project.
    pub(crate) fn resource(&self, endpoint: &str) -> ResourceIx {
        let mut projects = self.mapping.routes.values();
        let found = projects.find_map(|routes| routes.get(&endpoint.to_lowercase()));
        *found.unwrap_or_else(|| panic!("no endpoint {endpoint}"))
    }

    /// Posts a document; the write must succeed.
    pub(crate) async fn post(&self, endpoint: &str, body: Value) -> Written {
        let written = self.try_post(endpoint, body).await;
        written.unwrap_or_else(|error| panic!("{endpoint} was refused: {error:?}"))
    }

    pub(crate) async fn try_post(&self, endpoint: &str, body: Value) -> Result<Written, WriteError> {
        self.strict.post(self.resource(endpoint), &bytes(&body), &Preconditions::default()).await
    }

    pub(crate) async fn try_put(&self, endpoint: &str, id: Uuid, body: Value) -> Result<Written, WriteError> {
        put(&self.strict, self.resource(endpoint), id, body, &Preconditions::default()).await
    }

    pub(crate) async fn put(&self, endpoint: &str, id: Uuid, body: Value) -> Written {
        let written = self.try_put(endpoint, id, body).await;
        written.unwrap_or_else(|error| panic!("{endpoint} was refused: {error:?}"))
    }

    pub(crate) async fn delete(&self, endpoint: &str, id: Uuid) -> Result<Written, WriteError> {
        self.strict.delete(self.resource(endpoint), id, &Preconditions::default()).await
    }

    /// Reads a document as a client of the API does.
    pub(crate) async fn read(&self, endpoint: &str, id: Uuid) -> Option<ReadDocument> {
        let read =
            read::get(self.db(), &self.mapping, &self.caches, &MemoryBudget::default(), self.resource(endpoint), id)
                .await;
        read.unwrap_or_else(|error| panic!("{endpoint} {id} cannot be read: {error:?}"))
    }

    /// Reads the version and body of a document.
    pub(crate) async fn body(&self, endpoint: &str, id: Uuid) -> (i64, Value) {
        let read = self.read(endpoint, id).await.unwrap_or_else(|| panic!("{endpoint} {id} is gone"));
        (read.version, serde_json::from_slice(&read.body).expect("a body is JSON"))
    }

    /// Returns the single value of a query.
    pub(crate) async fn value<T: FromSqlOwned>(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> T {
        let client = self.db().get().await.expect("a connection");
        client.query_one(sql, params).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
    }

    /// Returns the open cascades as renamed document and version, ordered by version.
    pub(crate) async fn cascades(&self) -> Vec<(Uuid, i64)> {
        let client = self.db().get().await.expect("a connection");
        let sql = r#"SELECT d."DocumentUuid", k."ContentVersion" FROM "dms"."Cascade" k
                       JOIN "dms"."Document" d USING ("DocumentId") ORDER BY k."ContentVersion""#;
        let rows = client.query(sql, &[]).await.expect("cascades can be listed");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Works off all open cascades; returns the number of stamped referrers.
    pub(crate) async fn work_off_cascades(&self) -> usize {
        let mut stamped = 0;
        while let Some(page) = stamp_page(self.db(), 1_000).await.expect("cascades can be worked off") {
            stamped += page.stamped;
        }
        stamped
    }

    /// Checks that the newest outbox row of every document has the version of the document or its tombstone (ATOMIC), and
    /// that `verify` finds no difference (IDENTITY, EDGES).
    pub(crate) async fn check(&self) {
        let wrong: Vec<String> = self
            .value(
                r#"WITH newest AS (
                       SELECT DISTINCT ON ("DocumentId") "DocumentId", "ContentVersion", "Kind" FROM "dms"."Outbox"
                       ORDER BY "DocumentId", "ContentVersion" DESC
                   ), now AS (
                       SELECT "DocumentId", "ContentVersion", false AS "Gone" FROM "dms"."Document"
                       UNION ALL SELECT "DocumentId", "ContentVersion", true FROM "dms"."Tombstone"
                   )
                   SELECT coalesce(array_agg(o::text || ' / ' || n::text), '{}')
                   FROM newest o FULL JOIN now n USING ("DocumentId")
                   WHERE o."ContentVersion" IS DISTINCT FROM n."ContentVersion" OR (o."Kind" = 'delete') IS DISTINCT FROM n."Gone""#,
                &[],
            )
            .await;
        assert!(wrong.is_empty(), "outbox and documents disagree (ATOMIC): {wrong:#?}");
        let report = verify(self.db(), &self.mapping, &VerifyOptions::default(), &mut |_| {}).await.expect("verified");
        assert!(report.documents > 0, "nothing was verified");
        assert_eq!(report.difference_count(), 0, "{:#?}", report.differences);
    }
}

/// Creates a writer that stamps referrers and one that opens cascades, on one pool.
pub(super) fn writers(database: &Database, mapping: &Arc<Mapping>) -> [Writer; 2] {
    [WriterOptions::default().strict_max, 0].map(|strict_max| {
        // Schedules decide when a lock is released, and may take their time.
        let options =
            WriterOptions { strict_max, lock_timeout: PATIENCE, lock_round: PATIENCE, ..WriterOptions::default() };
        Writer::new(database.clone(), Arc::clone(mapping), options).expect("the JSON schemas compile")
    })
}

pub(super) fn bytes(body: &Value) -> Vec<u8> {
    serde_json::to_vec(body).expect("JSON")
}

/// Sends a PUT with the required `id` in the body.
pub(super) async fn put(
    writer: &Writer,
    resource: ResourceIx,
    id: Uuid,
    mut body: Value,
    when: &Preconditions,
) -> Result<Written, WriteError> {
    body["id"] = json!(id.to_string());
    writer.put(resource, id, &bytes(&body), when).await
}
