//! Shared by the tests of the projector: a provisioned database with a writer, and the parts of projectors.
#![allow(dead_code, reason = "each test binary uses a part")]

mod source;

pub(crate) use source::{Covering, HandSource, PolledSource};

use millstream_pipeline::clock::SystemClock;
use millstream_pipeline::memory::MemoryBudget;
use millstream_pipeline::queue::{MemoryQueue, WorkQueue};
use millstream_projector::{Deps, ProjectorOptions, SourceFactory};
use millstream_schema::plan::ResourceIx;
use millstream_store::connect::Database;
use millstream_store::load::Caches;
use millstream_testkit::{TestDatabase, World, wait_for, wait_until};
use millstream_writer::{Preconditions, WriteError, Writer, WriterOptions, Written};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Deadline of every wait in these tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

const FIRST_GRADE: &str = "uri://meadow.example/GradeLevelDescriptor#First grade";

/// Failed attempts before a document is quarantined.
pub(crate) const ATTEMPTS_MAX: u32 = 3;

/// A provisioned database with a writer that opens a cascade for every rename.
pub(crate) struct Bed {
    pub(crate) world: &'static World,
    pub(crate) database: TestDatabase,
    pub(crate) writer: Writer,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        let world = World::fixtures();
        Self::on(world, world.database().await).await
    }

    pub(crate) async fn on(world: &'static World, database: TestDatabase) -> Self {
        let options = WriterOptions { strict_max: 0, ..WriterOptions::default() };
        let writer = Writer::new(database.database().clone(), Arc::clone(&world.mapping), options).expect("a writer");
        let bed = Self { world, database, writer };
        bed.execute(
            r#"INSERT INTO "dms"."EffectiveSchema" VALUES (1, '1', '', 0, '', gen_random_uuid(), now())
               ON CONFLICT DO NOTHING"#,
        )
        .await;
        bed
    }

    pub(crate) fn db(&self) -> &Database {
        self.database.database()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let client = self.db().get().await.expect("a connection");
        client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The one value that `sql` returns.
    pub(crate) async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        let client = self.db().get().await.expect("a connection");
        client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
    }

    fn resource(&self, endpoint: &str) -> ResourceIx {
        self.world.mapping.route("meadow", endpoint).unwrap_or_else(|| panic!("no endpoint {endpoint}"))
    }

    pub(crate) async fn try_post(&self, endpoint: &str, body: Value) -> Result<Written, WriteError> {
        let body = serde_json::to_vec(&body).expect("JSON");
        self.writer.post(self.resource(endpoint), &body, &Preconditions::default()).await
    }

    pub(crate) async fn post(&self, endpoint: &str, body: Value) -> Written {
        self.try_post(endpoint, body).await.unwrap_or_else(|error| panic!("{endpoint} refused: {error:?}"))
    }

    pub(crate) async fn put(&self, endpoint: &str, id: Uuid, mut body: Value) -> Written {
        body["id"] = json!(id.to_string());
        let body = serde_json::to_vec(&body).expect("JSON");
        let written = self.writer.put(self.resource(endpoint), id, &body, &Preconditions::default()).await;
        written.unwrap_or_else(|error| panic!("{endpoint} refused: {error:?}"))
    }

    pub(crate) async fn delete(&self, endpoint: &str, id: Uuid) -> Written {
        let written = self.writer.delete(self.resource(endpoint), id, &Preconditions::default()).await;
        written.unwrap_or_else(|error| panic!("{endpoint} not deleted: {error:?}"))
    }

    pub(crate) async fn post_student(&self, number: usize, first_name: &str) -> Written {
        self.post("students", student(number, first_name)).await
    }

    /// A school with a class period, and `students` that have it as their homeroom: referrers of the period outside its
    /// closure.
    pub(crate) async fn homeroom(&self, students: usize) -> Homeroom {
        let grade = json!({"namespace": "uri://meadow.example/GradeLevelDescriptor", "codeValue": "First grade",
                           "shortDescription": "First grade"});
        self.post("gradeLevelDescriptors", grade).await;
        let grades = json!([{"gradeLevelDescriptor": FIRST_GRADE}]);
        self.post("schools", json!({"schoolId": 1, "nameOfInstitution": "Alder", "gradeLevels": grades})).await;
        let period = self.post("classPeriods", period("1st")).await.uuid;
        let mut enrolments = Vec::with_capacity(students);
        for number in 0..students {
            self.post_student(number, "Ada").await;
            enrolments.push(self.post("studentSchoolAssociations", enrolment(number, "1st")).await.uuid);
        }
        Homeroom { period, enrolments }
    }

    /// The cached version and body of a document.
    pub(crate) async fn cached(&self, id: Uuid) -> Option<(i64, Value)> {
        let client = self.db().get().await.expect("a connection");
        let sql = r#"SELECT "ContentVersion", "Body" FROM "dms"."DocumentCache" WHERE "DocumentUuid" = $1"#;
        let row = client.query_opt(sql, &[&id]).await.expect("the cache can be read")?;
        Some((row.get(0), serde_json::from_str(row.get(1)).expect("a cached body is JSON")))
    }

    pub(crate) async fn version(&self, id: Uuid) -> i64 {
        let sql = format!(r#"SELECT "ContentVersion" FROM "dms"."Document" WHERE "DocumentUuid" = '{id}'"#);
        self.value(&sql).await
    }

    /// Waits until the cache holds exactly this version of a document.
    pub(crate) async fn wait_cached(&self, id: Uuid, version: i64) -> Value {
        let what = format!("{id} to be cached at {version}");
        wait_for(&what, DEADLINE, || async {
            let (cached, body) = self.cached(id).await?;
            (cached == version).then_some(body)
        })
        .await
    }

    /// Waits until the cache holds every document at its version and no cascade is open.
    pub(crate) async fn wait_converged(&self) {
        let sql = r#"SELECT NOT EXISTS (SELECT FROM "dms"."Cascade") AND NOT EXISTS (
            SELECT FROM "dms"."Document" d LEFT JOIN "dms"."DocumentCache" c USING ("DocumentId")
            WHERE c."ContentVersion" IS DISTINCT FROM d."ContentVersion")"#;
        wait_until("the cache to hold every document", DEADLINE, || self.value(sql)).await;
    }

    /// The epoch of the complete queue; nil while a comparison is pending.
    pub(crate) async fn stored_epoch(&self) -> Option<Uuid> {
        self.value(r#"SELECT max("Epoch"::text)::uuid FROM "dms"."ProjectionProgress""#).await
    }

    /// Waits until no comparison is pending for this queue.
    pub(crate) async fn wait_followed(&self, queue: &dyn WorkQueue) {
        let epoch = Some(queue.epoch());
        wait_until("no comparison to be pending", DEADLINE, || async { self.stored_epoch().await == epoch }).await;
    }

    /// Every cached body recomputed from its rows.
    pub(crate) async fn verify(&self) {
        let options = millstream_store::verify::VerifyOptions::default();
        let report = millstream_store::verify::verify(self.db(), &self.world.mapping, &options, &mut |_| {}).await;
        let report = report.expect("verified");
        assert_eq!(report.difference_count(), 0, "{:#?}", report.differences);
        assert!(report.documents > 0, "nothing was verified");
    }

    /// Records in `public."Regress"` every decrease of a cached version.
    pub(crate) async fn watch_for_regressions(&self) {
        self.execute(
            r#"CREATE TABLE public."Regress" ("DocumentId" bigint, "From" bigint, "To" bigint);
               CREATE FUNCTION public.regress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   IF NEW."ContentVersion" < OLD."ContentVersion" THEN
                       INSERT INTO public."Regress" VALUES (OLD."DocumentId", OLD."ContentVersion", NEW."ContentVersion");
                   END IF; RETURN NEW; END $$;
               CREATE TRIGGER regress BEFORE UPDATE ON "dms"."DocumentCache"
                   FOR EACH ROW EXECUTE FUNCTION public.regress();"#,
        )
        .await;
    }

    pub(crate) fn queue(&self) -> Arc<MemoryQueue> {
        Arc::new(MemoryQueue::new(Arc::new(SystemClock), ATTEMPTS_MAX))
    }

    /// A projector's parts, with a scan interval so long that cascades start only by notification.
    pub(crate) fn deps(&self, queue: Arc<dyn WorkQueue>, source: Arc<dyn SourceFactory>) -> Deps {
        let options = ProjectorOptions {
            cascade_scan_interval: Duration::from_secs(3_600),
            watermark_interval: Duration::from_millis(20),
            gauge_interval: Duration::from_millis(20),
            ..ProjectorOptions::default()
        };
        Deps {
            database: self.db().clone(),
            mapping: Arc::clone(&self.world.mapping),
            caches: Arc::new(Caches::default()),
            memory: MemoryBudget::default(),
            queue,
            source,
            clock: Arc::new(SystemClock),
            options,
        }
    }

    /// The same, following the outbox by polling.
    pub(crate) fn polled(&self) -> Deps {
        self.deps(self.queue(), PolledSource::factory(self.db()))
    }
}

/// A class period and its referrers.
pub(crate) struct Homeroom {
    pub(crate) period: Uuid,
    pub(crate) enrolments: Vec<Uuid>,
}

pub(crate) fn student(number: usize, first_name: &str) -> Value {
    json!({"studentUniqueId": format!("S-{number}"), "firstName": first_name, "lastSurname": "Abara",
           "birthData": {"birthDate": "2014-01-01"}})
}

pub(crate) fn period(name: &str) -> Value {
    json!({"classPeriodName": name, "schoolReference": {"schoolId": 1}})
}

pub(crate) fn enrolment(student: usize, period: &str) -> Value {
    json!({"entryDate": "2030-08-19", "schoolReference": {"schoolId": 1},
           "studentReference": {"studentUniqueId": format!("S-{student}")},
           "entryGradeLevelDescriptor": FIRST_GRADE,
           "homeroomClassPeriodReference": {"classPeriodName": period, "schoolId": 1}})
}

pub(crate) fn homeroom_of(enrolment: &Value) -> &str {
    enrolment["homeroomClassPeriodReference"]["classPeriodName"].as_str().unwrap_or("no homeroom")
}
