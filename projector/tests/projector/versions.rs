//! The version that a body is stored under: docs/design/rules.md#rule-5 and docs/design/rules.md#rule-7.

use super::support::{Bed, DEADLINE, HandSource, homeroom_of, period};
use millstream_pipeline::queue::WorkQueue;
use millstream_pipeline::{Change, ChangeKind};
use millstream_projector::Projector;
use millstream_store::xid::Xid8;
use millstream_testkit::gate::{Gate, GateAt};
use millstream_testkit::{Holder, wait_until};
use std::sync::Arc;
use uuid::Uuid;

impl Bed {
    /// The change records of a document, oldest first.
    pub(crate) async fn changes(&self, id: Uuid) -> Vec<Change> {
        let client = self.db().get().await.expect("a connection");
        let sql = r#"SELECT "OutboxId", "TransactionId", "DocumentId", "ResourceKeyId", "Kind", "ContentVersion"
                     FROM "dms"."Outbox" WHERE "DocumentUuid" = $1 ORDER BY "OutboxId""#;
        let rows = client.query(sql, &[&id]).await.expect("the outbox can be read");
        let change = |row: &tokio_postgres::Row| Change {
            outbox_id: row.get(0),
            xid: row.get::<_, Xid8>(1).0,
            document_id: row.get(2),
            document_uuid: id,
            resource_key: row.get(3),
            kind: row.get::<_, &str>(4).parse().expect("a kind"),
            content_version: row.get(5),
        };
        rows.iter().map(change).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_5_nothing_is_stored_below_the_effective_version() {
    let bed = Bed::new().await;
    let room = bed.homeroom(3).await;
    let source = HandSource::default();
    let projector = Projector::start(bed.deps(bed.queue(), Arc::new(source.clone())));
    bed.wait_converged().await;

    // The cascade worker is stopped before it can close its page, so its stamps stay invisible and the cascade open.
    let gate = Gate::on_table(&bed.database, r#""dms"."Cascade""#, GateAt::BeforeDelete).await;
    gate.close().await;
    let renamed = bed.put("classPeriods", room.period, period("renamed")).await;
    source.send(bed.changes(room.period).await);
    gate.wait_for(1).await;
    bed.wait_cached(room.period, renamed.version).await;

    // A rebuild at this moment could only cache the new name under the old version.
    let enrolment = room.enrolments[0];
    bed.execute(r#"DELETE FROM "dms"."DocumentCache""#).await;
    let below = bed.version(enrolment).await;
    assert!(below < renamed.version);
    source.send(bed.changes(enrolment).await);
    wait_until("the entry to be left to the stamp", DEADLINE, || async {
        let status = projector.status().await.expect("a status");
        status.rebuild.awaits_stamp == 1 && status.queue.depth == 0
    })
    .await;
    assert_eq!(bed.cached(enrolment).await, None);

    gate.open().await;
    wait_until("the stamp", DEADLINE, || async { bed.version(enrolment).await == renamed.version }).await;
    source.send(bed.changes(enrolment).await);
    let body = bed.wait_cached(enrolment, renamed.version).await;
    assert_eq!(homeroom_of(&body), "renamed");
    projector.stop(DEADLINE).await.expect("it stops in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_5_a_body_that_was_overtaken_while_it_was_composed_is_not_stored() {
    let bed = Bed::new().await;
    let (queue, source) = (bed.queue(), HandSource::default());
    let projector = Projector::start(bed.deps(Arc::clone(&queue) as Arc<dyn WorkQueue>, Arc::new(source.clone())));
    bed.wait_followed(&*queue).await;
    let first = bed.post_student(1, "Ada").await;
    // The body is composed and waits to be stored; its statement has not read any row.
    let cache = Holder::hold(&bed.database, r#"LOCK TABLE "dms"."DocumentCache" IN ACCESS EXCLUSIVE MODE"#).await;
    source.send(bed.changes(first.uuid).await);
    cache.wait_for_blocked(1).await;
    let second = bed.post_student(1, "Beatrix").await;
    cache.commit().await;
    wait_until("the first entry to be settled", DEADLINE, || async {
        let status = projector.status().await.expect("a status");
        (status.queue.depth, status.rebuild.superseded, status.rebuild.stored) == (0, 1, 0)
    })
    .await;
    assert_eq!(bed.cached(first.uuid).await, None);
    source.send(bed.changes(first.uuid).await);
    let body = bed.wait_cached(second.uuid, second.version).await;
    assert_eq!(body["firstName"], "Beatrix");
    projector.stop(DEADLINE).await.expect("it stops in time");
}

/// The scan for cascades is an hour away in these tests: only the entry's notification wakes the worker.
#[tokio::test(flavor = "multi_thread")]
async fn rules_7_an_edit_right_after_a_rename_loses_neither_the_cascade_nor_the_edit() {
    let bed = Bed::new().await;
    let room = bed.homeroom(3).await;
    let source = HandSource::default();
    let projector = Projector::start(bed.deps(bed.queue(), Arc::new(source.clone())));
    bed.wait_converged().await;

    bed.put("classPeriods", room.period, period("renamed")).await;
    let mut edited = period("renamed");
    edited["officialAttendancePeriod"] = true.into();
    let edited = bed.put("classPeriods", room.period, edited).await;
    let changes = bed.changes(room.period).await;
    let kinds: Vec<ChangeKind> = changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds[1..], [ChangeKind::Identity, ChangeKind::Upsert]);
    source.send(changes);

    let body = bed.wait_cached(room.period, edited.version).await;
    assert_eq!((&body["classPeriodName"], &body["officialAttendancePeriod"]), (&"renamed".into(), &true.into()));
    wait_until("the cascade to be worked off", DEADLINE, || async {
        bed.value::<i64>(r#"SELECT count(*) FROM "dms"."Cascade""#).await == 0
    })
    .await;
    for enrolment in &room.enrolments {
        source.send(bed.changes(*enrolment).await);
    }
    bed.wait_converged().await;
    projector.stop(DEADLINE).await.expect("it stops in time");
    bed.verify().await;
}

/// The same for a rename followed by a delete.
#[tokio::test(flavor = "multi_thread")]
async fn rules_7_a_delete_right_after_a_rename_keeps_the_cascade() {
    let bed = Bed::new().await;
    let room = bed.homeroom(1).await;
    let source = HandSource::default();
    let projector = Projector::start(bed.deps(bed.queue(), Arc::new(source.clone())));
    bed.wait_converged().await;
    bed.put("classPeriods", room.period, period("renamed")).await;
    bed.delete("studentSchoolAssociations", room.enrolments[0]).await;
    bed.delete("classPeriods", room.period).await;
    source.send(bed.changes(room.period).await);
    wait_until("the cascade of the deleted document to be worked off", DEADLINE, || async {
        bed.value::<i64>(r#"SELECT count(*) FROM "dms"."Cascade""#).await == 0
    })
    .await;
    wait_until("the entry to be settled", DEADLINE, || async {
        let status = projector.status().await.expect("a status");
        status.queue.depth == 0 && status.rebuild.gone == 1
    })
    .await;
    projector.stop(DEADLINE).await.expect("it stops in time");
}
