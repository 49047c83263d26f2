//! Cascades over rows inserted by hand: docs/design/rules.md#rule-2 needs no resource tables.

use super::support::{Bed, DEADLINE};
use millstream_projector::Projector;
use millstream_projector::cascade::{CascadePage, stamp_page};
use millstream_store::connect::{Database, PoolOptions, SessionSettings};
use millstream_testkit::gate::{Gate, GateAt};
use millstream_testkit::{Holder, wait_until};
use std::time::Duration;

const HUB: i64 = 1_000;
const RENAMED_AT: i64 = 50;

/// Documents 1 to 25 refer to the hub, 26 to 30 to another document. Odd ones have version 10; even ones, and the 25th,
/// are at the version of the rename or above.
async fn plant(bed: &Bed) {
    bed.execute(&format!(
        r#"INSERT INTO "dms"."Document" SELECT g, gen_random_uuid(), (SELECT min("ResourceKeyId") FROM "dms"."ResourceKey"),
               CASE WHEN g = {HUB} OR g = 25 THEN {RENAMED_AT} WHEN g % 2 = 0 THEN 60 + g ELSE 10 END, 1,
               '2000-01-01', '2000-01-01', ''
           FROM (SELECT generate_series(1, 30) UNION SELECT {HUB} UNION SELECT 2000) AS s(g);
           INSERT INTO "dms"."ReferenceEdge" SELECT g, CASE WHEN g <= 25 THEN {HUB} ELSE 2000 END, false
           FROM generate_series(1, 30) AS g;"#
    ))
    .await;
    open(bed, HUB, RENAMED_AT).await;
}

async fn open(bed: &Bed, document: i64, version: i64) {
    bed.execute(&format!(
        r#"INSERT INTO "dms"."Cascade" ("DocumentId", "ContentVersion", "TransactionId", "OpenedAt")
           VALUES ({document}, {version}, pg_current_xact_id(), '2020-02-02')"#
    ))
    .await;
}

async fn page(database: &Database) -> Option<CascadePage> {
    stamp_page(database, 4).await.expect("a page")
}

async fn ids(bed: &Bed, sql: &str) -> Vec<i64> {
    bed.value::<Option<Vec<i64>>>(&format!("SELECT array_agg(id ORDER BY id) FROM ({sql}) AS q(id)"))
        .await
        .unwrap_or_default()
}

async fn touched(bed: &Bed) -> Vec<i64> {
    ids(bed, r#"SELECT "DocumentId" FROM "dms"."Outbox" WHERE "Kind" = 'touch' AND "ContentVersion" = 50"#).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_2_a_cascade_resumes_at_its_cursor_and_stamps_exactly_what_is_below_its_version() {
    let bed = Bed::new().await;
    plant(&bed).await;
    let first = page(bed.db()).await;
    let expected = CascadePage { document_id: HUB, version: RENAMED_AT, looked_at: 4, stamped: 2, finished: false };
    assert_eq!(first, Some(expected));

    // The second page is killed after its stamps, before its outbox rows.
    let gate = Gate::on_table(&bed.database, r#""dms"."Outbox""#, GateAt::BeforeInsert).await;
    gate.close().await;
    let database = bed.db().clone();
    let killed = tokio::spawn(async move { page(&database).await });
    gate.wait_for(1).await;
    assert_eq!(page(bed.db()).await, None, "another worker skips the locked row");
    killed.abort();
    gate.open().await;
    let free = r#"SELECT "Cursor" FROM "dms"."Cascade" FOR UPDATE"#;
    assert_eq!(bed.value::<i64>(free).await, 4, "the cursor moves with the stamps or not at all");
    assert_eq!(touched(&bed).await, [1, 3]);

    let mut stamped = 2;
    while let Some(page) = page(bed.db()).await {
        stamped += page.stamped;
    }
    let odd: Vec<i64> = (1..25).filter(|id| id % 2 == 1).collect();
    assert_eq!(stamped, odd.len());
    assert_eq!(touched(&bed).await, odd, "each once");
    assert_eq!(
        ids(&bed, r#"SELECT "DocumentId" FROM "dms"."Document" WHERE "ContentVersion" = 50 AND "DocumentId" < 25"#)
            .await,
        odd
    );
    let dated = r#"SELECT "DocumentId" FROM "dms"."Document" WHERE "LastModifiedAt" = '2020-02-02'"#;
    assert_eq!(ids(&bed, dated).await, odd, "a stamp is dated by its cascade, and nothing else is");
    let above = r#"SELECT "DocumentId" FROM "dms"."Document" WHERE "ContentVersion" = 60 + "DocumentId" AND "DocumentId" < 100"#;
    assert_eq!(ids(&bed, above).await.len(), 15, "documents at or above the version are unchanged");
    assert!(ids(&bed, r#"SELECT "DocumentId" FROM "dms"."Cascade""#).await.is_empty(), "the last page closes it");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_2_a_referrer_that_moves_above_while_it_is_waited_for_is_not_stamped() {
    let bed = Bed::new().await;
    plant(&bed).await;
    let edit = r#"UPDATE "dms"."Document" SET "ContentVersion" = 70 WHERE "DocumentId" = 3"#;
    let holder = Holder::hold(&bed.database, edit).await;
    let database = bed.db().clone();
    let waiting = tokio::spawn(async move { page(&database).await });
    holder.wait_for_blocked(1).await;
    holder.commit().await;
    let page = waiting.await.expect("no panic").expect("a page");
    assert_eq!(page.stamped, 1);
    assert_eq!(touched(&bed).await, [1]);
    assert_eq!(bed.value::<i64>(r#"SELECT "ContentVersion" FROM "dms"."Document" WHERE "DocumentId" = 3"#).await, 70);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_2_the_cascade_of_a_deleted_document_is_worked_off_like_any_other() {
    let bed = Bed::new().await;
    plant(&bed).await;
    bed.execute(&format!(r#"DELETE FROM "dms"."Document" WHERE "DocumentId" IN ({HUB}, 2000, 7)"#)).await;
    open(&bed, 9_999, 55).await;
    while page(bed.db()).await.is_some() {}
    assert_eq!(touched(&bed).await.len(), 11, "document 7 is gone with its edge");
    assert!(ids(&bed, r#"SELECT "DocumentId" FROM "dms"."Cascade""#).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_cascade_does_not_wait_for_the_first() {
    let bed = Bed::new().await;
    plant(&bed).await;
    open(&bed, 2_000, 100).await;
    let gate = Gate::on_table(&bed.database, r#""dms"."Cascade""#, GateAt::BeforeUpdate).await;
    gate.close().await;
    let database = bed.db().clone();
    let oldest = tokio::spawn(async move { page(&database).await });
    gate.wait_for(1).await;
    let other = stamp_page(bed.db(), 500).await.expect("a page");
    let expected = CascadePage { document_id: 2_000, version: 100, looked_at: 5, stamped: 5, finished: true };
    assert_eq!(other, Some(expected));
    gate.open().await;
    let oldest = oldest.await.expect("no panic").expect("a page");
    assert_eq!((oldest.document_id, oldest.stamped), (HUB, 2), "the lowest version comes first");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_cascades_that_wait_for_a_lock_do_not_block_a_younger_one() {
    let bed = Bed::new().await;
    plant(&bed).await;
    // Documents 1 to 25 refer to the hub; 26 to 30 to document 2000; the youngest has two referrers of its own.
    bed.execute(&format!(
        r#"INSERT INTO "dms"."ReferenceEdge" SELECT g, 2001, false FROM generate_series(27, 28) AS g;
           INSERT INTO "dms"."Document" SELECT 2001, gen_random_uuid(), "ResourceKeyId", 120, 1, '2000-01-01',
               '2000-01-01', '' FROM "dms"."Document" WHERE "DocumentId" = {HUB}"#
    ))
    .await;
    open(&bed, 2_000, 100).await;
    open(&bed, 2_001, 120).await;
    let forgotten = r#"SELECT 1 FROM "dms"."Document" WHERE "DocumentId" IN (1, 26) FOR UPDATE"#;
    let holder = Holder::hold(&bed.database, forgotten).await;

    let settings = SessionSettings { lock_timeout: Some(Duration::from_millis(100)), ..SessionSettings::default() };
    let pool = PoolOptions { settings, ..PoolOptions::of_size(8) };
    let mut deps = bed.polled();
    deps.database = Database::new(bed.database.options(), pool).expect("a pool");
    deps.options.cascade_scan_interval = Duration::from_millis(50);
    let projector = Projector::start(deps);
    let open_at = |version: i64| {
        let sql = format!(r#"SELECT EXISTS (SELECT FROM "dms"."Cascade" WHERE "ContentVersion" = {version})"#);
        let bed = &bed;
        async move { bed.value::<bool>(&sql).await }
    };
    wait_until("the youngest cascade to be closed", DEADLINE, || async { !open_at(120).await }).await;
    assert!(open_at(RENAMED_AT).await && open_at(100).await, "the older ones wait for the forgotten transaction");
    holder.roll_back().await;
    wait_until("the others to be closed", DEADLINE, || async { !open_at(RENAMED_AT).await && !open_at(100).await })
        .await;
    projector.stop(DEADLINE).await.expect("it stops in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_with_a_writer_ends_in_a_retry() {
    let bed = Bed::new().await;
    plant(&bed).await;
    // A waiting session checks for a deadlock once, after its timeout: the page does so when the cycle is complete, the
    // holder much later, so the page is the victim.
    bed.execute(&format!(r#"ALTER DATABASE "{}" SET deadlock_timeout = '2s'"#, bed.database.options().dbname())).await;
    let holder = Holder::hold(&bed.database, "SET LOCAL deadlock_timeout = '60s'").await;
    holder.execute(r#"SELECT FROM "dms"."Document" WHERE "DocumentId" = 3 FOR UPDATE"#).await;
    let database = Database::connect(bed.database.options(), 2).await.expect("a pool");
    let working = tokio::spawn(async move { page(&database).await });
    holder.wait_for_blocked(1).await;
    holder.execute(r#"SELECT FROM "dms"."Document" WHERE "DocumentId" = 1 FOR UPDATE"#).await;
    assert!(!working.is_finished(), "the page was the victim and retries");
    holder.commit().await;
    assert_eq!(working.await.expect("no panic").map(|page| page.stamped), Some(2));
}
