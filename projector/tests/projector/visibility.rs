//! The read-back race, provoked: docs/design/rules.md#rule-6.

use super::support::{Bed, DEADLINE, HandSource};
use millstream_pipeline::{Change, ChangeKind};
use millstream_projector::{Projector, ProjectorHandle, RebuildReport};
use millstream_testkit::{TestCluster, TestDatabase, World, wait_for, wait_until};
use std::sync::Arc;
use std::time::Duration;

/// A provisioned database in its own cluster, whose sessions do not wait for standbys unless they request it.
async fn bed_in(cluster: &TestCluster) -> Bed {
    let world = World::fixtures();
    let database = TestDatabase::create_in(cluster).await;
    let session = database.session().await;
    let mut sql = include_str!("../../../store/sql/dms.sql").to_owned();
    for key in &world.schema.resource_keys {
        let (id, project, resource, version) = (key.id, &key.project_name, &key.resource_name, &key.resource_version);
        sql += &format!(r#"INSERT INTO "dms"."ResourceKey" VALUES ({id}, '{project}', '{resource}', '{version}');"#);
    }
    session.batch_execute(&format!("BEGIN; {sql} {} COMMIT", world.ddl)).await.expect("provisioned");
    let name = database.options().dbname();
    session.batch_execute(&format!(r#"ALTER DATABASE "{name}" SET synchronous_commit = 'local'"#)).await.expect("set");
    // Connections opened earlier by the pool do not have the setting.
    let evict = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    session.execute(evict, &[]).await.expect("evicted");
    drop(session);
    Bed::on(world, database).await
}

async fn require_standby(bed: &Bed, standby: &str) {
    let session = bed.database.session().await;
    session.batch_execute(&format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'")).await.expect("set");
    session.batch_execute("SELECT pg_reload_conf()").await.expect("reloaded");
    wait_until("the setting to be in force", DEADLINE, || async {
        bed.value::<String>("SHOW synchronous_standby_names").await == standby
    })
    .await;
}

/// The transaction id of the outbox row with this version, once the slot delivers it.
async fn delivered(bed: &Bed, version: i64) -> Option<u64> {
    let client = bed.db().get().await.expect("a connection");
    let sql = "SELECT data FROM pg_logical_slot_peek_changes('race', NULL, NULL)";
    let rows = client.query(sql, &[]).await.expect("the slot can be read");
    let lines: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    let insert = lines.iter().find(|line| {
        line.starts_with("table dms.\"Outbox") && line.contains(&format!(r#""ContentVersion"[bigint]:{version} "#))
    })?;
    let xid = insert.split(r#""TransactionId"[xid8]:"#).nth(1)?;
    xid.trim_start_matches('\'').split(['\'', ' ']).next()?.parse().ok()
}

async fn rebuilt(projector: &ProjectorHandle) -> RebuildReport {
    projector.status().await.expect("a status").rebuild
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_6_a_commit_between_flush_and_visibility_is_waited_for_and_never_done() {
    let cluster = TestCluster::start(TestCluster::durable_options()).await;
    let bed = bed_in(&cluster).await;
    let source = HandSource::default();
    let mut deps = bed.deps(bed.queue(), Arc::new(source.clone()));
    deps.options.visibility_deadline = Duration::from_millis(300);
    let queue = Arc::clone(&deps.queue);
    let projector = Projector::start(deps);

    let before = bed.post_student(1, "Ada").await;
    let other = bed.post_student(2, "Ada").await;
    source.send(bed.changes(before.uuid).await);
    bed.wait_cached(before.uuid, before.version).await;
    bed.execute("SELECT pg_create_logical_replication_slot('race', 'test_decoding')").await;

    require_standby(&bed, "absent").await;
    let version = before.version + 1_000;
    let session = bed.database.session().await;
    let edit = format!(
        r#"SET synchronous_commit = on; BEGIN;
           UPDATE "meadow"."Student" SET "FirstName" = 'Beatrix' WHERE "StudentUniqueId" = 'S-1';
           UPDATE "dms"."Document" SET "ContentVersion" = {version} WHERE "DocumentUuid" = '{id}';
           INSERT INTO "dms"."Outbox" ("DocumentId", "DocumentUuid", "ResourceKeyId", "Kind", "ContentVersion")
           SELECT "DocumentId", "DocumentUuid", "ResourceKeyId", 'upsert', {version} FROM "dms"."Document"
           WHERE "DocumentUuid" = '{id}'; COMMIT"#,
        id = before.uuid
    );
    let committing = tokio::spawn(async move { session.batch_execute(&edit).await });

    // The slot delivers the commit while every other session still sees the old rows.
    let xid = wait_for("the slot to deliver the commit", DEADLINE, || delivered(&bed, version)).await;
    assert_eq!(bed.version(before.uuid).await, before.version, "the window is open");
    let known = bed.changes(before.uuid).await[0];
    source.send(vec![Change { xid, kind: ChangeKind::Upsert, content_version: version, ..known }]);

    wait_until("the entry to be read without success, and the alarm", DEADLINE, || async {
        let rebuilt = rebuilt(&projector).await;
        rebuilt.held >= 3 && rebuilt.holds == 1 && rebuilt.alarms == 1
    })
    .await;
    let stats = queue.stats().await.expect("counters");
    assert_eq!((stats.depth, stats.quarantined), (1, 0), "waiting: neither done nor poison");
    assert_eq!(bed.cached(before.uuid).await.map(|(version, _)| version), Some(before.version));

    // Nothing else waits for it.
    source.send(bed.changes(other.uuid).await);
    bed.wait_cached(other.uuid, other.version).await;

    require_standby(&bed, "").await;
    committing.await.expect("no panic").expect("the commit returns");
    let body = bed.wait_cached(before.uuid, version).await;
    assert_eq!(body["firstName"], "Beatrix");
    wait_until("the wait to end", DEADLINE, || async { rebuilt(&projector).await.holds == 0 }).await;
    let rebuilt = rebuilt(&projector).await;
    assert_eq!((rebuilt.failures, rebuilt.contradicted), (0, 0), "it was the transaction that was waited for");
    projector.stop(DEADLINE).await.expect("it stops in time");
}

/// The change record of a visible transaction with a version that the rows do not have should not exist: it raises an
/// alarm.
#[tokio::test(flavor = "multi_thread")]
async fn rules_6_rows_behind_a_visible_change_record_raise_an_alarm_and_are_never_done() {
    let bed = Bed::new().await;
    let source = HandSource::default();
    let mut deps = bed.deps(bed.queue(), Arc::new(source.clone()));
    deps.options.visibility_deadline = Duration::from_millis(100);
    let queue = Arc::clone(&deps.queue);
    let student = bed.post_student(1, "Ada").await;
    let projector = Projector::start(deps);
    let change = bed.changes(student.uuid).await[0];
    source.send(vec![Change { content_version: student.version + 7, ..change }]);
    wait_until("the alarm", DEADLINE, || async { rebuilt(&projector).await.alarms == 1 }).await;
    assert_eq!(queue.stats().await.expect("counters").depth, 1);
    let rebuilt = rebuilt(&projector).await;
    assert!(rebuilt.held == 0 && rebuilt.contradicted > 1, "{rebuilt:?}");

    bed.execute(r#"SELECT setval('"dms"."ChangeVersionSequence"', 1000)"#).await;
    let edited = bed.post_student(1, "Beatrix").await;
    bed.wait_cached(edited.uuid, edited.version).await;
    projector.stop(DEADLINE).await.expect("it stops in time");
}
