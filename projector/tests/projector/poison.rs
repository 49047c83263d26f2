//! ISOLATED: a fault of one document affects no other document.

use super::support::{ATTEMPTS_MAX, Bed, DEADLINE, PolledSource};
use millstream_pipeline::Backoff;
use millstream_pipeline::queue::{MemoryQueue, WorkQueue};
use millstream_projector::{Deps, Part, Projector, ProjectorHandle, ProjectorOptions};
use millstream_store::connect::{Database, PoolOptions, SessionSettings, SslMode};
use millstream_testkit::{Holder, wait_until};
use std::sync::Arc;
use std::time::Duration;

fn impatient(mut deps: Deps) -> Deps {
    deps.options.poison_backoff = Backoff { base: Duration::from_millis(1), ceiling: Duration::from_millis(4) };
    deps
}

async fn wait_quarantined(projector: &ProjectorHandle, count: u64) {
    wait_until(&format!("{count} documents in quarantine"), DEADLINE, || async {
        projector.status().await.expect("a status").queue.quarantined == count
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_cannot_be_composed_is_quarantined_and_nothing_waits_for_it() {
    let bed = Bed::new().await;
    let mut students = Vec::new();
    for number in 0..10 {
        students.push(bed.post_student(number, "Ada").await);
    }
    let poison = students[4];
    bed.execute(&format!(
        r#"DELETE FROM "meadow"."Student" s USING "dms"."Document" d
           WHERE d."DocumentId" = s."DocumentId" AND d."DocumentUuid" = '{}'"#,
        poison.uuid
    ))
    .await;
    let deps = impatient(bed.polled());
    let queue = Arc::clone(&deps.queue);
    let projector = Projector::start(deps);
    for student in students.iter().filter(|student| student.uuid != poison.uuid) {
        bed.wait_cached(student.uuid, student.version).await;
    }
    wait_quarantined(&projector, 1).await;
    assert_eq!(bed.cached(poison.uuid).await, None);
    let quarantined = queue.quarantined(None, 10).await.expect("the quarantine can be listed");
    assert_eq!(quarantined[0].work.document_uuid, poison.uuid);
    assert_eq!(quarantined[0].work.attempts, ATTEMPTS_MAX);
    assert!(quarantined[0].reason.contains("no row in"), "{}", quarantined[0].reason);

    // The quarantined entry is about a document that is gone; the student returns as another document.
    bed.execute(&format!(r#"DELETE FROM "dms"."Document" WHERE "DocumentUuid" = '{}'"#, poison.uuid)).await;
    let recreated = bed.post_student(4, "Ada").await;
    bed.wait_cached(recreated.uuid, recreated.version).await;
    projector.stop(DEADLINE).await.expect("it stops in time");
}

/// The statement that stores a batch fails as a whole; halving the batch finds the row.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_cannot_be_stored_is_found_in_its_batch() {
    let bed = Bed::new().await;
    let mut students = Vec::new();
    for number in 0..33 {
        students.push(bed.post_student(number, "Ada").await);
    }
    let poison = students[20];
    bed.execute(&format!(
        r#"ALTER TABLE "dms"."DocumentCache" ADD CONSTRAINT "CK_Poison" CHECK ("DocumentUuid" <> '{}')"#,
        poison.uuid
    ))
    .await;
    let projector = Projector::start(impatient(bed.polled()));
    for student in students.iter().filter(|student| student.uuid != poison.uuid) {
        bed.wait_cached(student.uuid, student.version).await;
    }
    wait_quarantined(&projector, 1).await;
    assert_eq!(bed.cached(poison.uuid).await, None);

    // A newer version clears the quarantine by itself.
    bed.execute(r#"ALTER TABLE "dms"."DocumentCache" DROP CONSTRAINT "CK_Poison""#).await;
    let edited = bed.post_student(20, "Beatrix").await;
    bed.wait_cached(edited.uuid, edited.version).await;
    wait_quarantined(&projector, 0).await;
    projector.stop(DEADLINE).await.expect("it stops in time");
    bed.verify().await;
}

/// A server that refuses every new connection without a SQLSTATE, as after `ssl = off` or with another certificate.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_cannot_be_opened_put_no_document_into_quarantine() {
    let bed = Bed::new().await;
    let mut students = Vec::new();
    for number in 0..8 {
        students.push(bed.post_student(number, "Ada").await);
    }
    let queue = bed.queue();
    let intake = Projector::start(Deps {
        options: ProjectorOptions { part: Part::Intake, ..bed.polled().options },
        ..bed.deps(Arc::<MemoryQueue>::clone(&queue), PolledSource::factory(bed.db()))
    });
    wait_until("the changes to be in the queue", DEADLINE, || async {
        queue.stats().await.expect("counters").depth >= students.len() as u64
    })
    .await;

    let encrypted = bed.database.options().clone().with_ssl_mode(SslMode::Require);
    let mut deps = impatient(bed.deps(Arc::<MemoryQueue>::clone(&queue), PolledSource::factory(bed.db())));
    deps.database = Database::new(&encrypted, PoolOptions::of_size(4)).expect("a pool");
    deps.options.part = Part::Work;
    deps.options.outage_backoff = Backoff { base: Duration::from_millis(1), ceiling: Duration::from_millis(4) };
    let refused = Projector::start(deps);
    let mut outages = 0;
    wait_until("the refusals to be noticed many times", DEADLINE, || {
        outages += 1;
        let refused = &refused;
        async move {
            let status = refused.status().await.expect("a status");
            assert_eq!((status.queue.quarantined, status.rebuild.failures), (0, 0));
            outages > 200 && status.last_error.is_some_and(|error| error.text.to_lowercase().contains("tls"))
        }
    })
    .await;
    refused.stop(DEADLINE).await.expect("it stops in time");

    let mut deps = bed.deps(queue, PolledSource::factory(bed.db()));
    deps.options.part = Part::Work;
    let repaired = Projector::start(deps);
    for student in &students {
        bed.wait_cached(student.uuid, student.version).await;
    }
    repaired.stop(DEADLINE).await.expect("it stops in time");
    intake.stop(DEADLINE).await.expect("it stops in time");
}

/// A row that a forgotten transaction holds delays its document and no other, and costs no attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_document_is_waited_for_alone() {
    let bed = Bed::new().await;
    let mut students = Vec::new();
    for number in 0..9 {
        students.push(bed.post_student(number, "Ada").await);
    }
    let locked = students[4];
    let sql = format!(r#"SELECT 1 FROM "dms"."Document" WHERE "DocumentUuid" = '{}' FOR UPDATE"#, locked.uuid);
    let holder = Holder::hold(&bed.database, &sql).await;
    let settings = SessionSettings { lock_timeout: Some(Duration::from_millis(50)), ..SessionSettings::default() };
    let mut deps = impatient(bed.polled());
    deps.database =
        Database::new(bed.database.options(), PoolOptions { settings, ..PoolOptions::of_size(8) }).expect("a pool");
    let projector = Projector::start(deps);
    for student in students.iter().filter(|student| student.uuid != locked.uuid) {
        bed.wait_cached(student.uuid, student.version).await;
    }
    assert_eq!(bed.cached(locked.uuid).await, None);
    let status = projector.status().await.expect("a status");
    assert_eq!((status.queue.quarantined, status.rebuild.failures), (0, 0));
    holder.roll_back().await;
    bed.wait_cached(locked.uuid, locked.version).await;
    projector.stop(DEADLINE).await.expect("it stops in time");
}

/// A fault of the database is not charged to a document.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_costs_no_document_an_attempt() {
    let bed = Bed::new().await;
    let student = bed.post_student(1, "Ada").await;
    bed.execute(r#"ALTER TABLE "dms"."DocumentCache" RENAME TO "Away""#).await;
    let mut deps = impatient(bed.polled());
    deps.options.outage_backoff = Backoff { base: Duration::from_millis(1), ceiling: Duration::from_millis(4) };
    let projector = Projector::start(deps);
    wait_until("the outage to be noticed", DEADLINE, || async {
        let status = projector.status().await.expect("a status");
        status.last_error.is_some_and(|error| error.text.contains("DocumentCache")) && status.queue.depth == 1
    })
    .await;
    bed.execute(r#"ALTER TABLE "dms"."Away" RENAME TO "DocumentCache""#).await;
    bed.wait_cached(student.uuid, student.version).await;
    let status = projector.status().await.expect("a status");
    assert_eq!((status.rebuild.failures, status.queue.quarantined), (0, 0), "{status:#?}");
    projector.stop(DEADLINE).await.expect("it stops in time");
}

/// Two projectors that store a first body at the same moment can conflict in the second unique index of the cache. That
/// moment cannot be arranged, so a trigger raises the violation once.
#[tokio::test(flavor = "multi_thread")]
async fn a_race_for_the_first_cached_row_costs_no_document_an_attempt() {
    let bed = Bed::new().await;
    let student = bed.post_student(1, "Ada").await;
    bed.execute(
        r#"CREATE SEQUENCE public.race;
           CREATE FUNCTION public.race() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF nextval('public.race') = 1 THEN
                   RAISE unique_violation USING CONSTRAINT = 'UX_DocumentCache_DocumentUuid';
               END IF; RETURN NEW; END $$;
           CREATE TRIGGER race BEFORE INSERT ON "dms"."DocumentCache" FOR EACH ROW EXECUTE FUNCTION public.race();"#,
    )
    .await;
    let projector = Projector::start(bed.polled());
    bed.wait_cached(student.uuid, student.version).await;
    assert!(bed.value::<i64>("SELECT nextval('public.race')").await > 2, "the race was run");
    assert_eq!(projector.status().await.expect("a status").rebuild.failures, 0);
    projector.stop(DEADLINE).await.expect("it stops in time");
}
